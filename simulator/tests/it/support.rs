//! A world to ask without sockets.

use std::{collections::BTreeMap, sync::Arc};

use mast_simulator::{
    Truth, menus,
    scenario::parse_line,
    world::{
        World,
        layout::lay_out,
        model::{Ms, Plan, Role, Stack},
    },
};
use routeros_api::{
    Decoder, Limits, Sentence,
    server::{ReplyWriter, Request},
};

pub(crate) fn world(devices: usize) -> World {
    World::new(Arc::new(lay_out(7, devices, 0)), 1_750_000_000_000)
}

pub(crate) fn say(world: &mut World, line: &str) {
    let plan = Arc::clone(world.plan());
    for event in parse_line(line, &plan, world.now_ms()).unwrap() {
        world.schedule(event);
    }
    world.advance(world.now_ms());
}

pub(crate) fn pass(world: &mut World, ms: Ms) {
    world.advance(world.now_ms() + ms);
}

pub(crate) fn truth(world: &World) -> Truth {
    Truth::of(world, world.now_ms(), 8728, 8729)
}

pub(crate) fn truth_at(world: &World, t: Ms) -> Truth {
    Truth::of(world, t, 8728, 8729)
}

pub(crate) fn named(plan: &Plan, name: &str) -> usize {
    plan.devices.iter().position(|d| d.name == name).unwrap()
}

/// The first device of a role and package, with radios or a station radio of its own.
pub(crate) fn first(world: &World, role: Role, stack: Stack) -> usize {
    let plan = world.plan();
    let fits = |d: &usize| plan.devices[*d].role == role && plan.devices[*d].stack == stack;
    (0..plan.devices.len()).find(fits).unwrap()
}

/// All sentences a device answers.
pub(crate) fn ask(world: &World, device: usize, words: &[&str]) -> Vec<Sentence> {
    let request = Request::new(Sentence::from_words(words));
    let mut replies = ReplyWriter::new();
    menus::answer(world, device, world.now_ms(), &request, &mut replies);
    let mut decoder = Decoder::new(Limits::SESSION);
    decoder.feed(replies.pending());
    std::iter::from_fn(|| decoder.next_sentence().unwrap()).collect()
}

pub(crate) type Row = BTreeMap<String, String>;

pub(crate) fn row(sentence: &Sentence) -> Row {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    sentence
        .attributes()
        .map(|(name, value)| (text(name), text(value)))
        .collect()
}

/// The rows alone.
pub(crate) fn rows(world: &World, device: usize, words: &[&str]) -> Vec<Row> {
    let sentences = ask(world, device, words);
    sentences
        .iter()
        .filter(|s| s.first() == b"!re")
        .map(row)
        .collect()
}
