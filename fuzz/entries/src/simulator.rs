//! Lines of scenarios, over a small fleet.

use std::sync::OnceLock;

use mast_simulator::scenario::{parse, parse_line};
use mast_simulator::world::layout::lay_out;
use mast_simulator::world::model::Plan;

/// A scenario file, and each of its lines as a control line.
pub(crate) fn scenario(data: &[u8]) {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    let plan = PLAN.get_or_init(|| lay_out(7, 60, 1));
    let text = String::from_utf8_lossy(data);
    // A script of endless troubles would only measure how many fit into memory.
    if text.matches("trouble").count() > 2 {
        return;
    }
    let whole = parse(&text, plan);
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    let each = lines
        .filter(|line| !line.is_empty())
        .map(|line| parse_line(line, plan, 0))
        .collect::<Result<Vec<_>, _>>();
    assert_eq!(
        whole.is_ok(),
        each.is_ok(),
        "a line alone is the line in a file"
    );
}
