//! mast-schemas
