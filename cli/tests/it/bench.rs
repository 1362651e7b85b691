//! The measuring commands as scripts call them: they end by themselves, and say one JSON object with the agreed keys. What
//! they measure on a busy machine says nothing, so no figure is judged here.

use crate::support::{finish, mast};

#[test]
fn ingest_says_its_figures() {
    let report = finish(&mut mast(&[
        "bench",
        "ingest",
        "--devices",
        "20",
        "--seconds",
        "1",
    ]));
    for key in [
        "ap_polls_per_s_per_core",
        "cpe_polls_per_s_per_core",
        "rss_per_session_bytes",
        "poll_p50_ms",
        "poll_p99_ms",
    ] {
        assert!(report[key].is_number(), "{key}: {report}");
    }
    assert_eq!(report["failed_polls"], 0, "{report}");
    assert!(report["ap"]["polls"].as_u64() > Some(0), "{report}");
    // 25 clients, 8 interfaces and the poll itself.
    let rows = report["ap"]["rows"].as_f64().unwrap() / report["ap"]["polls"].as_f64().unwrap();
    assert!((34.0..36.0).contains(&rows), "{rows} rows a poll");
    let rows = report["cpe"]["rows"].as_f64().unwrap() / report["cpe"]["polls"].as_f64().unwrap();
    assert!((5.0..6.5).contains(&rows), "{rows} rows a poll");
}

/// A minute of trouble: descriptors are flat, views and truth agree, the recount finds nothing.
#[test]
fn a_short_soak_leaks_no_descriptor_and_ends_in_the_truth() {
    let report = finish(&mut mast(&[
        "bench",
        "soak",
        "--minutes",
        "1",
        "--devices",
        "60",
    ]));
    assert_eq!(report["passed"], true, "{report}");
    assert_eq!(report["memory_judged"], false, "{report}");
    assert!(report["hiccups"].as_u64() > Some(0), "{report}");
    assert!(
        report["descriptors"]["postgres"]["last"].as_u64() > Some(0),
        "{report}"
    );
}

/// Ingest and dataflow are processes of their own here, over the embedded log.
#[test]
fn the_pipeline_says_its_figures() {
    let report = finish(&mut mast(&[
        "bench",
        "pipeline",
        "--devices",
        "20",
        "--interval",
        "2s",
        "--seconds",
        "6",
    ]));
    for key in [
        "rows_per_s",
        "fresh_p50_ms",
        "fresh_p99_ms",
        "missed_polls",
        "cpu_cores",
        "rss_bytes",
    ] {
        assert!(report[key].is_number(), "{key}: {report}");
    }
    assert!(report["stream_changes"].is_u64(), "{report}");
    for key in ["stream_p50_ms", "stream_p99_ms"] {
        let heard = report["stream_changes"].as_u64() > Some(0);
        assert_eq!(report[key].is_u64(), heard, "{key}: {report}");
    }
    assert!(report["polls"].as_u64() > Some(0), "{report}");
    assert!(report["due_polls"].as_u64() >= Some(40), "{report}");
    assert!(report["fresh_rows"].as_u64() > Some(0), "{report}");
    let parts = report["parts"].as_array().unwrap();
    assert!(
        parts
            .iter()
            .all(|part| part["rss_bytes"].as_u64() > Some(0)),
        "{report}"
    );
}

#[test]
fn nonsense_is_refused_by_name() {
    let run = mast(&["bench", "ingest", "--devices", "3"])
        .output()
        .unwrap();
    assert!(!run.status.success());
    let told = String::from_utf8(run.stderr).unwrap();
    assert!(told.contains("--devices 3"), "{told}");
}
