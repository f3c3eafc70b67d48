//! The short run guards against getting worse: counts that do not depend on the machine's mood.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[test]
fn a_thousand_mails_take_no_more_calls_and_no_more_instructions_than_promised() {
    // The tests of the workspace have built notify-me beside this.
    let run = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["--quick", "--json"])
        .env("BENCH_BUILT", "1")
        .output();
    let run = run.unwrap();
    let (results, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{results}\n{errors}");
    let results: Value = serde_json::from_str(&results).unwrap();
    let reports = results["reports"].as_array().unwrap();
    assert_eq!(reports.len(), 2, "{results:#}");
    let goals: Vec<&Value> = reports.iter().flat_map(|report| report["goals"].as_array().unwrap()).collect();
    assert!(goals.len() >= 2, "{results:#}");
    assert!(goals.iter().all(|goal| goal["measured"].as_f64().unwrap() > 0.0), "{results:#}");
}
