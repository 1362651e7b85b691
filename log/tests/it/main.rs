//! The embedded log as its users meet it: real files, real processes, real kills.

mod conformance;
mod damage;
mod kill;
mod limits;
mod owner;
mod support;
