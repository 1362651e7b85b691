//! How a message reads, in each form. Pure: the same message gives the same bytes.

pub mod json;
pub mod template;
pub mod text;
