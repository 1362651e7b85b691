//! mast-secrets
