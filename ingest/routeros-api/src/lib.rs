//! routeros-api
