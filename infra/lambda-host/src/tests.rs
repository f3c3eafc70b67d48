//! The host against real processes: this test binary starts itself as the function.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::{Value, json};

use super::*;

const ALIVE: &str = "ALIVE";
const PATIENCE: Duration = Duration::from_secs(20);

/// The function under test: does what its payload says.
#[test]
#[ignore = "the process that the other tests start"]
fn double() {
    parent::exit_with_parent().unwrap();
    let _alive = std::env::var(ALIVE).ok().map(|address| TcpStream::connect(address).unwrap());
    if std::env::var_os("BROKEN").is_some() {
        std::process::exit(7);
    }
    let function = service_fn(|event: LambdaEvent<Value>| async move {
        let milliseconds = event.payload["ms"].as_u64().unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        // Through the front, the wish comes in the query.
        let query = &event.payload["queryStringParameters"]["do"];
        match event.payload["do"].as_str().or(query.as_str()) {
            Some("hang") => std::future::pending().await,
            Some("nonsense") => Ok(json!({ "statusCode": "nonsense" })),
            Some("create") => Ok(json!({ "statusCode": 201, "body": event.payload["body"] })),
            Some("fail") => Err(lambda_runtime::Error::from("as asked")),
            Some("exit") => std::process::exit(3),
            Some("big") => Ok(Value::String("x".repeat(MAX_PAYLOAD))),
            Some("environment") => Ok(json!(std::env::vars().collect::<BTreeMap<_, _>>())),
            Some("chatter") => {
                // Far more than a pipe holds; blank, to keep the test's output readable.
                write!(std::io::stderr(), "{}", " ".repeat(1 << 20)).unwrap();
                Ok(json!("said"))
            }
            _ => Ok(json!({
                "payload": event.payload,
                "pid": std::process::id(),
                "arn": event.context.invoked_function_arn,
                "left": event.context.deadline.saturating_sub(now()),
            })),
        }
    });
    tokio::runtime::Runtime::new().unwrap().block_on(lambda_runtime::run(function)).unwrap();
}

/// A host that serves one function until it is killed.
#[test]
#[ignore = "the process that another test starts and kills"]
fn host_to_be_killed() {
    parent::exit_with_parent().unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut function = function();
        function.environment.insert(ALIVE.to_owned(), std::env::var_os(ALIVE).unwrap());
        let host = Host::new(vec![function]);
        host.warm().await.unwrap();
        std::future::pending::<()>().await;
    });
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

fn test_process(name: &str) -> Vec<std::ffi::OsString> {
    let name = format!("tests::{name}");
    [&name, "--exact", "--ignored", "--nocapture", "--quiet"].map(Into::into).to_vec()
}

/// A function of this machine that runs [`double`].
pub(crate) fn function() -> Function {
    Function {
        name: "double",
        program: std::env::current_exe().unwrap(),
        arguments: test_process("double"),
        timeout: Duration::from_secs(20),
        concurrency: 2,
        memory_mb: 128,
        region: "eu-west-1".to_owned(),
        environment: BTreeMap::new(),
    }
}

async fn call(host: &Host, payload: Value) -> Outcome {
    host.invoke("double", Bytes::from(payload.to_string()), PATIENCE).await.unwrap()
}

async fn answer(host: &Host, payload: Value) -> Value {
    match call(host, payload).await {
        Outcome::Answer(body) => serde_json::from_slice(&body).unwrap(),
        Outcome::Error(error) => panic!("{error:?}"),
    }
}

async fn failure(host: &Host, payload: Value) -> (Cause, Value) {
    match call(host, payload).await {
        Outcome::Error(error) => (error.cause, serde_json::from_slice(&error.body).unwrap()),
        Outcome::Answer(body) => panic!("{body:?}"),
    }
}

#[tokio::test]
async fn an_invocation_reaches_the_function_and_its_answer_comes_back() {
    let host = Host::new(vec![function()]);
    let answer = answer(&host, json!({ "a": [1, "ü"] })).await;
    assert_eq!(answer["payload"], json!({ "a": [1, "ü"] }));
    assert_eq!(answer["arn"], "arn:aws:lambda:eu-west-1:000000000000:function:double");
    let left = answer["left"].as_u64().unwrap();
    assert!((1..=20_000).contains(&left), "{left} ms left of 20 s");
    host.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_process_is_kept_for_the_next_invocation() {
    let host = Host::new(vec![function()]);
    let first = answer(&host, json!({})).await;
    let second = answer(&host, json!({})).await;
    assert_eq!(first["pid"], second["pid"]);
    host.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_function_sees_no_variable_that_it_was_not_given() {
    let mut function = function();
    function.environment.insert("GIVEN".to_owned(), "yes".into());
    let host = Host::new(vec![function]);
    let environment = answer(&host, json!({ "do": "environment" })).await;
    assert_eq!(environment["GIVEN"], "yes");
    assert_eq!(environment["AWS_LAMBDA_FUNCTION_NAME"], "double");
    assert!(std::env::var_os("PATH").is_some() && environment.get("PATH").is_none());
    host.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_function_error_is_told_as_the_function_told_it_and_the_process_stays() {
    let host = Host::new(vec![function()]);
    let before = answer(&host, json!({})).await;
    let (cause, error) = failure(&host, json!({ "do": "fail" })).await;
    assert_eq!((cause, &error["errorMessage"]), (Cause::Reported, &json!("as asked")));
    assert_eq!(answer(&host, json!({})).await["pid"], before["pid"]);
    host.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_crash_fails_its_invocation_and_the_next_one_gets_a_new_process() {
    let host = Host::new(vec![function()]);
    let before = answer(&host, json!({})).await;
    let (cause, error) = failure(&host, json!({ "do": "exit" })).await;
    assert_eq!((cause, &error["errorType"]), (Cause::Exited, &json!("Runtime.ExitError")));
    assert_ne!(answer(&host, json!({})).await["pid"], before["pid"]);
    host.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_process_that_ends_while_idle_fails_nobody() {
    let alive = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut function = function();
    function.environment.insert(ALIVE.to_owned(), alive.local_addr().unwrap().to_string().into());
    let host = Host::new(vec![function]);
    let before = answer(&host, json!({})).await;
    let (mut process, _) = alive.accept().unwrap();
    let pid = before["pid"].to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    // A process that dies while it is handed an invocation does fail it; this one shall be gone,
    // and the host shall have had the time to see its connections close.
    let ended = tokio::task::spawn_blocking(move || process.read(&mut [0; 1]));
    assert_eq!(ended.await.unwrap().unwrap_or(0), 0);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_ne!(answer(&host, json!({})).await["pid"], before["pid"]);
    host.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_time_out_kills_the_process_and_the_next_invocation_gets_a_new_one() {
    let host = Host::new(vec![Function { timeout: Duration::from_secs(2), ..function() }]);
    let before = answer(&host, json!({})).await;
    let (cause, error) = failure(&host, json!({ "ms": 60_000 })).await;
    assert_eq!((cause, &error["errorType"]), (Cause::TimedOut, &json!("Sandbox.Timedout")));
    assert_ne!(answer(&host, json!({})).await["pid"], before["pid"]);
    host.stop(PATIENCE).await;
}

#[tokio::test]
async fn an_answer_or_a_payload_over_the_limit_is_refused() {
    let host = Host::new(vec![function()]);
    let (cause, error) = failure(&host, json!({ "do": "big" })).await;
    assert_eq!(cause, Cause::ResponseTooLarge);
    assert_eq!(error["errorType"], "Function.ResponseSizeTooLarge");
    let payload = Bytes::from(vec![b' '; MAX_PAYLOAD + 1]);
    let refused = host.invoke("double", payload, PATIENCE).await;
    assert!(matches!(refused, Err(InvokeError::PayloadTooLarge(_))), "{refused:?}");
    host.stop(PATIENCE).await;
}

#[tokio::test]
async fn more_invocations_than_the_function_may_have_processes_wait_and_are_then_throttled() {
    let host = Host::new(vec![function()]);
    let slow = || call(&host, json!({ "ms": 3_000 }));
    let late = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        host.invoke("double", Bytes::from("{}"), Duration::from_millis(100)).await
    };
    let patient = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        call(&host, json!({})).await
    };
    let (one, two, late, patient) = tokio::join!(slow(), slow(), late, patient);
    let pids = [one, two].map(|outcome| match outcome {
        Outcome::Answer(body) => serde_json::from_slice::<Value>(&body).unwrap()["pid"].clone(),
        Outcome::Error(error) => panic!("{error:?}"),
    });
    assert_ne!(pids[0], pids[1], "both ran at the same time");
    assert!(matches!(late, Err(InvokeError::Throttled(2))), "{late:?}");
    assert!(matches!(patient, Outcome::Answer(_)));
    host.stop(PATIENCE).await;
}

#[tokio::test]
async fn stopping_lets_a_running_invocation_finish_and_takes_no_other() {
    let host = Host::new(vec![function()]);
    let running = call(&host, json!({ "ms": 1_500 }));
    let stop = async {
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        host.stop(PATIENCE).await;
    };
    let late = async {
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        host.invoke("double", Bytes::from("{}"), PATIENCE).await
    };
    let (running, (), late) = tokio::join!(running, stop, late);
    assert!(matches!(running, Outcome::Answer(_)), "{running:?}");
    assert!(matches!(late, Err(InvokeError::Stopping)), "{late:?}");
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let host = Host::new(vec![function()]);
    host.warm().await.unwrap();
    let running = call(&host, json!({ "ms": 600_000 }));
    let stop = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        host.stop(Duration::from_millis(100)).await;
    };
    let (running, ()) = tokio::join!(running, stop);
    assert!(matches!(running, Outcome::Error(FunctionError { cause: Cause::Exited, .. })));
}

#[tokio::test]
async fn a_function_that_logs_without_end_is_not_blocked() {
    let host = Host::new(vec![function()]);
    assert_eq!(answer(&host, json!({ "do": "chatter" })).await, "said");
    host.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_function_that_cannot_start_is_named_with_the_way_it_ended() {
    let mut function = function();
    function.environment.insert("BROKEN".to_owned(), "1".into());
    let host = Host::new(vec![function]);
    let error = host.warm().await.unwrap_err().to_string();
    assert!(error.contains("double") && error.contains('7'), "{error}");
    let (cause, _) = failure(&host, json!({})).await;
    assert_eq!(cause, Cause::Exited);
    host.stop(PATIENCE).await;
}

#[test]
fn no_process_outlives_a_host_that_is_killed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut host = Command::new(std::env::current_exe().unwrap())
        .args(test_process("host_to_be_killed"))
        .env(ALIVE, listener.local_addr().unwrap().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    listener.set_nonblocking(true).unwrap();
    let started = Instant::now();
    let mut process = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(_) if started.elapsed() < Duration::from_secs(30) => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => {
                host.kill().unwrap();
                panic!("the function did not start: {error}");
            }
        }
    };
    process.set_nonblocking(false).unwrap();
    process.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    host.kill().unwrap();
    host.wait().unwrap();
    // The function holds this connection for as long as it lives.
    assert_eq!(process.read(&mut [0; 1]).unwrap(), 0);
}
