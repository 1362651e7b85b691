//! Both sides of the API over real sockets and real TLS, and transcripts word by word.

mod deadlines;
mod logins;
mod pipelining;
mod support;
mod tls;
mod transcripts;
