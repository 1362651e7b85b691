//! Loads of devices, and what their interfaces do, for polls that a script has written: a function of device and poll, so that
//! a repeat of a poll says what the poll said.

use mast_schemas::message::WholePoll;

/// Adds them. Each number goes up and down over several polls; some devices don't tell some of them.
pub(super) fn add_loads(whole: &mut WholePoll) {
    let poll = &mut whole.poll;
    let device = u64::from(poll.device_id.as_bytes()[15]);
    let sequence = poll.sequence;
    if poll.outcome.reached() {
        let wave = |every: u64, n: u64| (sequence / every + device + n) * 37 % 101;
        poll.cpu_load_percent = (device % 6 != 5).then(|| wave(2, 0) as u8);
        poll.memory_total_bytes = (device % 5 != 4).then_some(268_435_456);
        poll.memory_free_bytes = (sequence % 7 != 6).then(|| wave(3, 1) * 2_657_777);
        poll.disk_total_bytes = Some(if device % 7 == 6 { 0 } else { 16_777_216 });
        poll.disk_free_bytes = Some(wave(4, 2) * 166_111);
        poll.cpu_temperature_c = (device % 3 != 0).then(|| wave(3, 3) as f32 + 0.3);
        poll.board_temperature_c = (sequence % 4 != 1).then(|| wave(5, 4) as f32 - 0.1);
    }
    for (n, interface) in (0..).zip(&mut whole.interfaces) {
        interface.running =
            (sequence % 9 != 8).then_some(!(sequence / 2 + device + n).is_multiple_of(3));
        interface.disabled = Some((sequence / 3 + device + n) % 5 == 4);
        interface.link_rate_bps = match (device + n) % 4 {
            0 => None,
            1 => Some(0),
            _ => Some(1_000_000),
        };
    }
}
