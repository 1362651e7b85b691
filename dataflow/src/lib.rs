//! mast-dataflow
