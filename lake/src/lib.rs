//! mast-lake
