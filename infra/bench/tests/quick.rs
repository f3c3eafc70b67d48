//! The short run guards against getting worse: counts that do not depend on the machine's mood.

// Contenders are measured there only.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[test]
fn restocks_take_no_more_calls_and_no_more_instructions_than_promised() {
    let bench = Path::new(env!("CARGO_BIN_EXE_notify-me-bench"));
    // The tests of the workspace have built notify-me beside it.
    let run =
        Command::new(bench).args(["--quick", "--json", "--binaries"]).arg(bench.parent().unwrap()).output();
    let run = run.unwrap();
    let (results, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{results}\n{errors}");
    let results: Value = serde_json::from_str(&results).unwrap();
    let reports = results["reports"].as_array().unwrap();
    let named = |name: &str| reports.iter().find(|report| report["name"] == name);
    let counts = named("counts").unwrap();
    assert_eq!(counts["goals"].as_array().unwrap().len(), 10, "{results:#}");
    // The test command says so where valgrind is missing.
    if let Some(instructions) = named("instructions") {
        let goals = instructions["goals"].as_array().unwrap();
        assert!(
            goals.len() >= 5 && goals.iter().all(|goal| goal["measured"].as_f64().unwrap() > 500.0),
            "{results:#}"
        );
    } else {
        assert!(
            errors.contains("valgrind is needed") && std::env::var("CI").as_deref() != Ok("true"),
            "{errors}"
        );
    }
}
