//! mast-ingest
