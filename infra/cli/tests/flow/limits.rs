//! Sign-ups are limited where that is asked for, and a refusal tells nothing about an address.

use serde_json::{Value, json};

use crate::support::{Answer, Shop, System, shared};

/// An ask from a network behind one trusted proxy.
async fn ask(shop: &Shop, from: &str, product: &str, email: &str) -> Answer {
    let headers = [("content-type", "application/json"), ("x-forwarded-for", from)];
    let path = format!("/products/{product}/subscriptions");
    shop.request("POST", &path, &headers, json!({ "email": email }).to_string()).await
}

/// The seconds of a refusal, and its document without them.
fn refused(answer: &Answer) -> (u64, Value) {
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (429, "application/problem+json"),
        "{answer:?}"
    );
    let seconds = answer.header("retry-after").parse().unwrap();
    let mut problem = answer.json();
    let detail = problem["detail"].as_str().unwrap().replace(&format!("{seconds} s"), "… s");
    problem["detail"] = json!(detail);
    (seconds, problem)
}

#[tokio::test]
async fn nothing_is_limited_on_one_machine_unless_it_is_asked_for() {
    let shop = shared();
    for number in 0..30 {
        shop.subscribe("unlimited", &format!("{number}@unlimited.example.com")).await;
    }
    for _ in 0..5 {
        let answer = shop.ask("unlimited", json!({ "email": "0@unlimited.example.com" })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[tokio::test]
async fn a_network_and_an_address_are_limited_alike_for_known_and_unknown_addresses() {
    let environment = [
        ("LIMITS", "on"),
        ("LIMIT_SOURCE", "3/1h"),
        ("LIMIT_ADDRESS", "2/1h"),
        ("TRUSTED_PROXIES", "1"),
        ("REFUSED_DOMAINS", "refused.example"),
    ];
    let system = System::start(&[], &environment);
    let shop = system.shop();
    assert_eq!(ask(&shop, "192.0.2.1", "limited", "known@example.com").await.status, 201);
    assert_eq!(ask(&shop, "192.0.2.1", "limited", "known@example.com").await.status, 200);
    // The address is used up, in whatever spelling and from wherever.
    let spelled = ask(&shop, "192.0.2.9", "other", "Known+1@example.com").await;
    let (seconds, _) = refused(&spelled);
    assert!((3_590..=3_600).contains(&seconds), "{seconds}");
    // The network is.
    assert_eq!(ask(&shop, "192.0.2.1", "limited", "more@example.com").await.status, 201);
    let known = refused(&ask(&shop, "203.0.113.1, 192.0.2.1", "limited", "more@example.com").await);
    let unknown = refused(&ask(&shop, "203.0.113.2, 192.0.2.1", "limited", "unknown@example.com").await);
    assert_eq!(known.1, unknown.1);
    assert!(known.0.abs_diff(unknown.0) <= 5);
    assert_eq!(shop.waiting("limited").await, 2, "nothing is written");
    // What cannot be used is refused for that, and uses nothing up.
    for email in ["postmaster@example.com", "jo@refused.example", "jo@mail.refused.example"] {
        let answer = ask(&shop, "192.0.2.1", "limited", email).await;
        assert_eq!((answer.status, &answer.json()["field"]), (400, &json!("email")), "{answer:?}");
    }
    assert_eq!(ask(&shop, "192.0.2.2", "limited", "unknown@example.com").await.status, 201);
    assert!(!system.log().contains("example.com") && !system.log().contains("192.0.2"), "{}", system.log());
}

#[tokio::test]
async fn settings_of_limits_that_cannot_be_used_are_named() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_notify-me"))
        .args(["up", "--port", "0"])
        .envs([("LIMIT_SOURCE", "10 per minute"), ("CHALLENGE", "maybe"), ("TRUSTED_PROXIES", "all")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    for name in ["LIMIT_SOURCE", "CHALLENGE", "TRUSTED_PROXIES"] {
        assert!(said.contains(&format!("{name} is not usable")), "{name}: {said}");
    }
}
