//! An ingest node whose clock is wrong.

use crate::support::{agrees, demo, finish, folder, last_json};

/// Five minutes off PostgreSQL's: it polls nothing and says why, and what helps. Set right, it goes on where it was.
#[test]
fn a_clock_five_minutes_off_polls_nothing_and_says_why() {
    let folder = folder();
    let data = folder.path().join("data");
    for (shift_ms, side) in [("300000", "ahead"), ("-300000", "behind")] {
        let output = demo(&data, (12, "1s"), &["--for", "10s"])
            .env("MAST_FAULT_CLOCK_MS", shift_ms)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        let report = last_json(&output);
        assert_eq!(report["polls"], 0, "{report}");
        assert_eq!(report["online"], 0, "{report}");
        assert!(
            told.contains(&format!("ms {side} of PostgreSQL's")),
            "{told}"
        );
        assert!(told.contains("NTP"), "the remedy is not told: {told}");
    }
    let report = finish(&mut demo(&data, (12, "1s"), &["--for", "25s"]));
    agrees(&report, 12, "the clock is right again");
}
