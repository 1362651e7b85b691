//! Whoever reads what a command says may go away, as in `mast demo 2>&1 | head -1`.

use crate::support::{demo, folder, query, verified};

#[test]
fn a_demo_that_nobody_reads_goes_on_and_ends_in_order() {
    let folder = folder();
    let data = folder.path().join("data");
    let more = ["--for", "12s", "--log-level", "info"];
    let mut child = demo(&data, (12, "1s"), &more).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    let ended = child.wait().unwrap();
    assert!(ended.success(), "{ended}");
    verified(&data);
    let polls = query(&data, "SELECT count(*) AS n FROM polls");
    let polls = polls.as_array().unwrap().iter();
    assert!(polls.map(|row| row["n"].as_u64().unwrap()).sum::<u64>() > 0);
}
