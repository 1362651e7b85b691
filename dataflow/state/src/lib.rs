//! mast-state
