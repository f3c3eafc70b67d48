//! What surrounds a system: the environment it is started in, the files beside it, the settings it is given, and what
//! it leaves in logs.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{PATIENCE, Parts, System, link_after};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_notify-me"));
    command.stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_proxy_in_the_environment_is_not_asked_for_what_is_on_this_machine() {
    // Nothing listens there.
    let nowhere = "http://127.0.0.1:9";
    let mut command = program();
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(name, nowhere);
    }
    command.env_remove("NO_PROXY").env_remove("no_proxy");
    let story = ["simulate", "--products", "1", "--shoppers", "5", "--restocks", "1", "--patience", "40"];
    let ran = command.args(story).output().unwrap();
    assert!(ran.status.success(), "{}", said(&ran));
}

#[test]
fn a_poll_to_the_end_of_a_kafka_that_is_not_there_ends_with_what_is_wrong() {
    // Nothing listens on a port that was free a moment ago.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let started = Instant::now();
    let mut command = program();
    command.args(["poll", "--kafka", &closed.to_string(), "--topic", "orders", "--function", "f", "--once"]);
    let ran = command.output().unwrap();
    assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
    assert!(started.elapsed() < Duration::from_secs(30), "it took {:?}", started.elapsed());
    for part in ["does not answer", &closed.to_string(), "refused"] {
        assert!(said(&ran).lines().last().unwrap().contains(part), "{part}: {}", said(&ran));
    }
}

/// `up` without saying so, once it is ready.
fn start(ready_file: &Path) -> Child {
    let mut process = program()
        .args(["--port", "0", "--ready-file"])
        .arg(ready_file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let before = std::fs::read(ready_file).ok();
    let started = Instant::now();
    while !ready_file.exists() || std::fs::read(ready_file).ok() == before {
        assert!(process.try_wait().unwrap().is_none(), "it ended before it was ready");
        assert!(started.elapsed() < PATIENCE, "it is not ready in time");
        std::thread::sleep(Duration::from_millis(20));
    }
    process
}

fn interrupt(mut process: Child) {
    let sent = Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert!(process.wait().unwrap().success());
}

#[test]
fn a_system_that_ends_leaves_the_ready_file_of_the_next_one_and_takes_its_own_along() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ready.json");
    let first = start(&file);
    let second = start(&file);
    let of_second = std::fs::read(&file).unwrap();
    interrupt(first);
    assert_eq!(std::fs::read(&file).unwrap(), of_second, "the second still runs");
    interrupt(second);
    assert!(!file.exists());
}

#[test]
fn settings_that_can_do_no_work_keep_the_system_from_starting_and_are_named_together() {
    let names =
        ["SLICE_SECONDS", "SLICE_MAILS", "DELIVERY_TIMEOUT_MS", "WAIT_DAYS", "MAX_BODY_BYTES", "SHARDS"];
    let ran = program().args(["--port", "0"]).envs(names.map(|name| (name, "0"))).output().unwrap();
    assert!(!ran.status.success());
    for name in names {
        let accepted = format!("{name} is not usable (a whole number from 1 to");
        assert!(said(&ran).contains(&accepted), "{name}: {}", said(&ran));
    }
}

#[tokio::test]
async fn no_log_of_a_function_at_its_most_detailed_level_holds_what_belongs_to_people() {
    let most_detailed = [("RUST_LOG", "trace"), ("SHARDS", "1"), ("AWS_LAMBDA_LOG_FORMAT", "JSON")];
    let system = System::start_on(Parts::new(), &[], &most_detailed);
    let shop = system.shop();
    let (email, other, name, user) =
        ("pauline.private@example.com", "refused.private@example.com", "Pauline Private", "user-private-7");
    let wish = json!({ "email": email, "name": name, "userId": user });
    assert_eq!(shop.ask("secret", wish.clone()).await.status, 201);
    assert_eq!(shop.ask("secret", wish).await.status, 200);
    shop.subscribe("secret", other).await;
    for unusable in
        [json!({ "email": "broken.private@@example" }), json!({ "email": ["private"], "name": name })]
    {
        assert_eq!(shop.ask("secret", unusable).await.status, 400);
    }
    // One is refused for good, after two calls that come to nothing.
    let faults = json!({
        "statuses": { other: { "status": "MESSAGE_REJECTED" } }, "throttleNext": 1, "failNext": 1,
    });
    shop.ses_faults(faults).await;
    shop.stock("secret", json!({ "quantity": 1 })).await;
    let mail = shop.only_mail(email).await;
    let link = link_after(&mail, "Unsubscribe from this alert: ").to_owned();
    let token = link.rsplit('/').next().unwrap().to_owned();
    assert_eq!(shop.request("GET", &link, &[], "").await.status, 200);
    assert_eq!(shop.request("POST", &link, &FORM, "List-Unsubscribe=One-Click").await.status, 200);
    let forged = format!("{}/unsubscribe/private-token", shop.api);
    assert_eq!(shop.request("POST", &forged, &FORM, "").await.status, 404);

    let log = system.log();
    assert!(log.contains("subscribed") && log.contains("worked on"), "our own lines are there:\n{log}");
    let lower = log.to_lowercase();
    for private in ["private", &token.to_lowercase(), "example.com\""] {
        let found = lower.lines().find(|line| line.contains(private));
        assert!(found.is_none(), "{private} is in the log: {found:?}");
    }
}

const FORM: [(&str, &str); 1] = [("content-type", "application/x-www-form-urlencoded")];
