//! mast-simulator
