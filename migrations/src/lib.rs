//! mast-postgres
