//! Counters, uptimes and noise for polls that a script has written: a function of device, poll and time, so that a repeat of
//! a poll says what the poll said.

use mast_schemas::message::WholePoll;
use mast_schemas::records::{Outcome, Tables};

use super::push_radio;

/// Adds them. Some devices boot now and then, some count in 32 bits, some don't tell their uptime.
pub(super) fn add_air(whole: &mut WholePoll) {
    let poll = &mut whole.poll;
    let device = u64::from(poll.device_id.as_bytes()[15]);
    let (sequence, kind) = (poll.sequence, device % 4);
    let since_boot = if kind == 0 { sequence % 9 } else { sequence };
    let seconds = u64::try_from(poll.observed_at.0 / 1_000_000).unwrap_or(0);
    poll.uptime_s = match kind {
        0 => Some(since_boot * 10),
        1 | 2 => Some(seconds - 1_700_000_000),
        _ => None,
    };
    let counter = |n: u64| match kind {
        1 => (since_boot * (700_000_000 + n)) % (1 << 32),
        // Set back without a boot.
        2 if sequence % 7 == 6 => n,
        _ => since_boot * (1_000_000 + n),
    };
    for (n, interface) in (0..).zip(&mut whole.interfaces) {
        // A tunnel without counters.
        if (sequence + n) % 11 != 0 {
            interface.rx_bytes = Some(counter(n));
            interface.tx_bytes = Some(counter(2 * n + 1));
        }
    }
    if poll.outcome == Outcome::Ok && sequence % 3 != 2 && kind != 3 {
        poll.tables = Tables(poll.tables).with(Tables::RADIO).0;
        if sequence % 5 != 4 {
            let noise = (sequence % 4 != 3).then(|| -90 - (sequence % 16) as i16);
            push_radio(whole, "wlan1", noise);
        }
    }
}
