//! mast-log
