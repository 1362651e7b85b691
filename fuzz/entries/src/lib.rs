#![doc = include_str!("../README.md")]

mod dataflow;
mod folder;
mod ingest;
mod log;
mod routeros;
mod schemas;
mod script;
mod secrets;
mod served;
mod simulator;
mod spool;
mod wire;

/// A parser under test: takes any bytes, and panics if it does not keep what it promises.
pub type Target = fn(&[u8]);

/// All targets by name. Each has a program in `fuzz/fuzz_targets/` and a folder in `fuzz/seeds/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("checkpoint", dataflow::checkpoint),
    ("control", schemas::control),
    ("epochs", schemas::binding),
    ("flow_message", dataflow::columns),
    ("inventory", schemas::inventory),
    ("log_calls", served::calls),
    ("log_segments", log::segments),
    ("message", schemas::message),
    ("recording", ingest::recording),
    ("routeros_client", routeros::client),
    ("routeros_decoder", routeros::decoder),
    ("routeros_login", routeros::login),
    ("routeros_query", routeros::query),
    ("routeros_server", routeros::server),
    ("routeros_session", routeros::session),
    ("rows", ingest::rows),
    ("scenario", simulator::scenario),
    ("secrets", secrets::credentials),
    ("spool", spool::segments),
    ("tail_ask", schemas::tail_ask),
    ("value", ingest::value),
];

/// Runs the target of a name over one input.
///
/// # Panics
/// Where there is no such target, and where the target found something.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let Some((_, target)) = target else {
        panic!("there is no target {name}");
    };
    target(data);
}
