//! mast-api
