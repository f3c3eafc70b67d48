//! Challenges, solved by a client that was written from the description of the protocol alone: 16 bytes of nonce and the number of the
//! try in four bytes are a password, from which PBKDF2 (RFC 8018, 5.2) derives a key that must begin as the challenge says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::block_api::compress256;

use crate::support::{Answer, Shop, System, shared};

/// The state of SHA-256 before its first block (FIPS 180-4, 5.3.3).
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// SHA-256 of 64 bytes, which `state` has seen, and up to 55 more.
fn last_block(mut state: [u32; 8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    block[..message.len()].copy_from_slice(message);
    block[message.len()] = 0x80;
    block[56..].copy_from_slice(&((64 + message.len() as u64) * 8).to_be_bytes());
    compress256(&mut state, &[block]);
    let mut hash = [0; 32];
    hash.chunks_exact_mut(4).zip(state).for_each(|(to, word)| to.copy_from_slice(&word.to_be_bytes()));
    hash
}

/// PBKDF2 with HMAC-SHA-256, for a password of less than a block, a short salt and a key of one hash.
fn pbkdf2(password: &[u8], salt: &[u8], rounds: u64) -> [u8; 32] {
    let padded = |pad: u8| {
        let mut block = [pad; 64];
        block.iter_mut().zip(password).for_each(|(to, byte)| *to ^= byte);
        let mut state = START;
        compress256(&mut state, &[block]);
        state
    };
    let (inner, outer) = (padded(0x36), padded(0x5c));
    let hmac = |message: &[u8]| last_block(outer, &last_block(inner, message));
    let mut block = hmac(&[salt, &1_u32.to_be_bytes()].concat());
    let mut key = block;
    for _ in 1..rounds {
        block = hmac(&block);
        key.iter_mut().zip(block).for_each(|(to, byte)| *to ^= byte);
    }
    key
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The text of the field `altcha`.
fn solve(challenge: &Value) -> String {
    let parameters = &challenge["parameters"];
    assert_eq!((&parameters["algorithm"], &parameters["keyLength"]), (&json!("PBKDF2/SHA-256"), &json!(32)));
    let (nonce, salt) = (bytes(&parameters["nonce"]), bytes(&parameters["salt"]));
    let (prefix, cost) = (bytes(&parameters["keyPrefix"]), parameters["cost"].as_u64().unwrap());
    for counter in 0_u32.. {
        let key = pbkdf2(&[&nonce[..], &counter.to_be_bytes()].concat(), &salt, cost);
        if key.starts_with(&prefix) {
            let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            let solution = json!({ "counter": counter, "derivedKey": key, "time": 700.5 });
            return STANDARD.encode(json!({ "challenge": challenge, "solution": solution }).to_string());
        }
    }
    unreachable!("one of 256 keys begins so");
}

/// The challenge that a refusal leads to, as a program follows it.
async fn offered(shop: &Shop, refusal: &Answer, asked: &str) -> Value {
    let url = url::Url::parse(&format!("{}{asked}", shop.api)).unwrap();
    let url = url.join(refusal.json()["challenge"].as_str().unwrap()).unwrap();
    let answer = shop.request("GET", url.as_str(), &[], "").await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{answer:?}");
    answer.json()
}

#[test]
fn the_solver_derives_keys_as_others_do() {
    // RFC 7914, 11, cut to one hash.
    let key = pbkdf2(b"passwd", b"salt", 1);
    assert_eq!(key[..8], [0x55, 0xac, 0x04, 0x6e, 0x56, 0xe3, 0x08, 0x9f]);
    let key = pbkdf2(b"Password", b"NaCl", 80_000);
    assert_eq!(key[..8], [0x4d, 0xdc, 0xd8, 0xf6, 0x0b, 0x98, 0xbe, 0x21]);
}

#[tokio::test]
async fn nothing_is_to_be_solved_on_one_machine_unless_it_is_asked_for() {
    let shop = shared();
    let answer = shop.request("GET", "/products/p/challenge", &[], "").await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (404, "application/problem+json"),
        "{answer:?}"
    );
    let wish = json!({ "email": "challenge@example.com", "altcha": "nothing" });
    assert_eq!(shop.ask("unchallenged", wish).await.status, 201);
}

#[tokio::test]
async fn a_client_that_nobody_here_wrote_solves_a_challenge_once_and_for_its_product() {
    let system = System::start(&[], &[("CHALLENGE", "always")]);
    let shop = system.shop();
    let path = "/products/p%2F1/subscriptions";
    let wish = |email: &str, solution: &str| json!({ "email": email, "altcha": solution }).to_string();
    let json_body = [("content-type", "application/json")];
    let refusal = shop.request("POST", path, &json_body, r#"{"email":"a@example.com"}"#).await;
    assert_eq!((refusal.status, &refusal.json()["field"]), (403, &json!("altcha")), "{refusal:?}");
    let solution = solve(&offered(&shop, &refusal, path).await);
    assert_eq!(
        shop.ask("q", serde_json::from_str(&wish("a@example.com", &solution)).unwrap()).await.status,
        403
    );
    assert_eq!(shop.request("POST", path, &json_body, wish("a@example.com", &solution)).await.status, 201);
    assert_eq!(shop.request("POST", path, &json_body, wish("b@example.com", &solution)).await.status, 403);
    // With a slash at its end, and by a form.
    let slashed = format!("{path}/");
    let refusal = shop.request("POST", &slashed, &json_body, r#"{"email":"b@example.com"}"#).await;
    let solution = solve(&offered(&shop, &refusal, &slashed).await);
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    let form = form.append_pair("email", "b@example.com").append_pair("altcha", &solution).finish();
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    let page = shop.request("POST", path, &kind, form.clone()).await;
    assert_eq!(page.status, 200, "{page:?}");
    let page = shop.request("POST", path, &kind, form).await;
    assert_eq!(page.status, 403);
    assert!(page.body.contains("This form has to be checked"), "{page:?}");
    assert_eq!(shop.waiting("p%2F1").await, 2);
}

#[tokio::test]
async fn where_a_product_is_asked_for_too_often_a_solution_opens_the_way() {
    let environment = [("LIMITS", "on"), ("CHALLENGE", "adaptive"), ("LIMIT_PRODUCT", "1/1h")];
    let system = System::start(&[], &environment);
    let shop = system.shop();
    assert_eq!(shop.ask("hot", json!({ "email": "a@example.com" })).await.status, 201);
    let refusal = shop.ask("hot", json!({ "email": "b@example.com" })).await;
    assert_eq!(refusal.status, 429, "{refusal:?}");
    let solution = solve(&offered(&shop, &refusal, "/products/hot/subscriptions").await);
    let answer = shop.ask("hot", json!({ "email": "b@example.com", "altcha": solution })).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(
        shop.ask("cold", json!({ "email": "b@example.com" })).await.status,
        201,
        "another product is not"
    );
}
