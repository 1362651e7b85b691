//! mast-query
