//! The quick half of the drills: they are real runs, with fewer kills and faults than by hand.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::process::Command;

use serde_json::Value;

fn drill(arguments: &[&str]) -> Value {
    let run =
        Command::new(env!("CARGO_BIN_EXE_notify-me")).arg("drill").args(arguments).arg("--json").output();
    let run = run.unwrap();
    let (report, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{report}\n{errors}");
    serde_json::from_str(&report).unwrap()
}

#[test]
fn processes_killed_at_random_lose_nobody_under_resend_and_double_nobody_under_skip() {
    let report = drill(&["kill", "--no-points", "--random", "15"]);
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{report:#}");
    for row in rows {
        assert_eq!(row["kills"], 15, "{report:#}");
        for some in ["atWork", "inDoubt"] {
            assert!(row[some].as_u64().unwrap() > 0, "{some}: {report:#}");
        }
        assert!(row["people"].as_u64().unwrap() >= 2_400, "{report:#}");
    }
}

#[test]
fn faults_of_kafka_end_when_they_are_mended_and_lose_nobody() {
    let report = drill(&["faults", "--only", "Kafka"]);
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3, "{report:#}");
    assert!(rows.iter().all(|row| row["hits"].as_u64().unwrap() > 0), "{report:#}");
}

#[test]
fn robots_are_let_in_as_far_as_the_limits_say_and_no_shopper_beside_them_is_refused() {
    let few = ["abuse", "--asks", "600", "--sources", "3", "--of-one", "300", "--patience-ms", "10000"];
    let report = drill(&few);
    let figure = |name: &str| {
        let rows = report["rows"].as_array().unwrap();
        rows.iter().find(|row| row["figure"] == name).unwrap()["value"].as_u64().unwrap()
    };
    // Three sources with ten at once, and one address with three: the robots were let in as well, to be limited.
    assert!(figure("of those let in") >= 30 && figure("of that one let in") >= 3, "{report:#}");
    assert!(figure("writes among them") > 0, "{report:#}");
}

#[test]
fn a_waitlist_is_told_in_waves_over_a_restart_of_everything() {
    let report = drill(&["waves", "--people", "500", "--every", "4"]);
    let rows = report["rows"].as_array().unwrap();
    let figure =
        |name: &str| rows.iter().find(|row| row["figure"] == name).unwrap()["value"].as_u64().unwrap();
    assert_eq!(
        (figure("emails of the first wave"), figure("emails of the second wave")),
        (80, 40),
        "{report:#}"
    );
    let beside = figure("calls to the table for a restock that only as many wait for");
    assert!(beside > 0 && figure("calls to the table for the first wave") > beside, "{report:#}");
}

#[test]
fn stock_that_comes_and_goes_tells_only_of_what_held() {
    let report = drill(&["flapping", "--products", "30", "--people", "300", "--seconds", "10"]);
    let rows = report["rows"].as_array().unwrap();
    let sum = |name: &str| rows.iter().map(|row| row[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("products"), sum("people")), (30, 300), "{report:#}");
    // It told some and left some untold, each for a reason.
    for some in ["sales, levels, sell-outs", "flaps", "perhaps held", "emails meanwhile"] {
        assert!(sum(some) > 0, "{some}: {report:#}");
    }
}
