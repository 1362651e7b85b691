//! mast-oracle
