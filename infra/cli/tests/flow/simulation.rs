//! The simulation itself, small.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::{System, are_real};

const SMALL: [&str; 6] = ["--products", "5", "--shoppers", "200", "--restocks", "10"];

fn simulate(size: &[&str], arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_notify-me"))
        .args(["simulate", "--seed", "7"])
        .args(size)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Without a ready file, `simulate` starts a system of its own, which is an embedded one; real parts are for a running
/// system.
#[test]
fn a_simulation_loses_nobody_and_tells_nobody_twice() {
    let system = are_real().then(|| System::start(&[], &[]));
    let mut arguments = vec!["--json"];
    if let Some(system) = &system {
        arguments.extend(["--ready-file", system.ready_file.to_str().unwrap()]);
    }
    let Output { status, stdout, stderr } = simulate(&SMALL, &arguments);
    let said = String::from_utf8(stderr).unwrap();
    assert!(status.success(), "{said}");
    let summary: Value = serde_json::from_slice(&stdout).unwrap();
    for count in ["lost", "twice", "unasked", "waiting", "inDoubt"] {
        assert_eq!(summary[count], 0, "{count}: {summary:#}\n{said}");
    }
    assert_eq!(summary["asked"], summary["told"], "{summary:#}");
    assert!(summary["told"].as_u64().unwrap() >= 200, "{summary:#}");
    assert_eq!((&summary["seed"], &summary["restocks"]), (&Value::from(7), &Value::from(10)));
    let latency = |name: &str| summary["latencyMs"][name].as_u64().unwrap();
    assert!(latency("p50") > 0 && latency("p50") <= latency("p99") && latency("p99") <= latency("max"));
}

/// Real parts have the rules of their own shop, so this is for the embedded system.
#[test]
fn a_simulation_under_rules_tells_in_waves_no_more_than_there_are_units_and_loses_nobody() {
    let rules = r#"{"perUnit":1,"waveEvery":2,"minStock":2,"reserve":1}"#;
    // Enough restocks that some stand while a second wave comes; on a machine with other work none may, so that another story is
    // told.
    let size = ["--products", "5", "--shoppers", "200", "--restocks", "30"];
    let had_later_waves = (0..3).any(|_| {
        let Output { status, stdout, stderr } = simulate(&size, &["--json", "--rules", rules]);
        let said = String::from_utf8(stderr).unwrap();
        assert!(status.success(), "{said}");
        let summary: Value = serde_json::from_slice(&stdout).unwrap();
        for count in ["lost", "twice", "unasked", "beyond", "passedOver", "waiting", "inDoubt"] {
            assert_eq!(summary[count], 0, "{count}: {summary:#}\n{said}");
        }
        assert!(summary["told"].as_u64().unwrap() >= 200, "{summary:#}");
        summary["latencyMs"]["max"].as_u64().unwrap() >= 2_000
    });
    assert!(had_later_waves, "nobody was told by a later wave than the first");
}

#[test]
fn rules_that_a_simulation_cannot_judge_are_refused() {
    let Output { status, stderr, .. } = simulate(&SMALL, &["--rules", r#"{"settle":3}"#]);
    let said = String::from_utf8(stderr).unwrap();
    assert!(!status.success() && said.contains("waveEvery"), "{said}");
}

#[test]
fn two_simulations_on_a_running_system_keep_out_of_each_others_way() {
    let system = System::start(&[], &[]);
    let file = system.ready_file.to_str().unwrap();
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| simulate(&SMALL, &["--ready-file", file]));
        let other = scope.spawn(|| simulate(&SMALL, &["--ready-file", file]));
        (one.join().unwrap(), other.join().unwrap())
    });
    for Output { status, stdout, stderr } in [one, other] {
        let said = String::from_utf8(stdout).unwrap();
        assert!(status.success(), "{said}{}", String::from_utf8_lossy(&stderr));
        assert!(said.contains(" 0 lost") && said.contains("--seed 7"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulation_fails_when_mails_come_twice_or_not_at_all() {
    let system = System::start(&[], &[]);
    let real = system.ready.inbox.clone();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    // An inbox in which one shopper's emails are twice and another's are missing.
    let wrong = axum::Router::new().fallback(async move |uri: axum::http::Uri| {
        let url = format!("{real}?{}", uri.query().unwrap_or_default());
        let list: Value = http.get(url).send().await.unwrap().json().await.unwrap();
        let messages = list["messages"].as_array().unwrap().iter().flat_map(|message| {
            let to = message["Destination"]["ToAddresses"][0].as_str().unwrap();
            let mut copy = message.clone();
            copy["Id"] = format!("another {}", message["Id"]).into();
            match to.split('.').next().unwrap() {
                "shopper1" => vec![],
                "shopper2" => vec![copy, message.clone()],
                _ => vec![message.clone()],
            }
        });
        axum::Json(json!({ "messages": messages.collect::<Vec<_>>() }))
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, wrong).await });
    let mut ready: Value = serde_json::from_slice(&std::fs::read(&system.ready_file).unwrap()).unwrap();
    ready["inbox"] = format!("http://{address}/").into();
    let file = system.ready_file.with_file_name("wrong.json");
    std::fs::write(&file, ready.to_string()).unwrap();

    let ended = tokio::task::spawn_blocking(move || {
        let size = ["--products", "1", "--shoppers", "9", "--restocks", "1"];
        simulate(&size, &["--json", "--patience", "10", "--ready-file", file.to_str().unwrap()])
    });

    let Output { status, stdout, stderr } = ended.await.unwrap();
    let summary: Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!((&summary["lost"], &summary["twice"]), (&json!(1), &json!(1)), "{summary:#}");
    assert_eq!((&summary["asked"], &summary["told"]), (&json!(9), &json!(8)), "{summary:#}");
    let said = String::from_utf8(stderr).unwrap();
    assert!(status.code() == Some(1) && said.contains("1 lost, 1 notified twice"), "{said}");
    server.abort();
}

#[test]
fn a_file_that_is_not_a_ready_file_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ready.json");
    std::fs::write(&file, "{}").unwrap();
    let Output { status, stderr, .. } = simulate(&SMALL, &["--ready-file", file.to_str().unwrap()]);
    let said = String::from_utf8(stderr).unwrap();
    assert!(status.code() == Some(1) && said.contains("ready.json is not a ready file"), "{said}");
}
