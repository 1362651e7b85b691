//! mast-benches
