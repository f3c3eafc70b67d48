//! Challenges to a browser that no third party takes part in: a proof of work in the form of ALTCHA
//! (<https://altcha.org/docs/v2/>), which its widget solves in about a second. A challenge is signed, holds for one product and some minutes, and is
//! nowhere kept; only solutions that were used are, until they expire.

use std::collections::BTreeMap;

use altcha::{CreateChallengeOptions, Payload, VerifySolutionOptions, create_challenge, verify_solution};
use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::ProductId;
use domain::unsubscribe::Key;
use http::StatusCode;
use lambda::clock;
use lambda::http::{Problem, json};
use serde_json::Value;

use crate::App;

/// The field that carries a solution: what the widget adds to the form that it stands in.
pub(crate) const FIELD: &str = "altcha";
/// What it may hold, as refusals say it.
pub(crate) const ACCEPTED: &str =
    "the solution of a fresh challenge for this product, as the ALTCHA widget writes it";
const ALGORITHM: &str = "PBKDF2/SHA-256";
/// How often the key is derived for a try, and how every solution's key begins: 256 tries on average. In a browser that takes
/// about a second; to check a solution derives one key.
const COST: u32 = 5_000;
const KEY_PREFIX: &str = "00";
/// How long a challenge may be solved and used. A person fills in a form meanwhile; the widget fetches another after it.
const LIFETIME_SECONDS: i64 = 600;
/// Under what name the signed data holds the product.
const PRODUCT: &str = "product";

/// A solution that was checked.
#[derive(Debug)]
pub(crate) struct Solved {
    /// The nonce of its challenge, which no other has.
    pub(crate) nonce: String,
    /// When the challenge expires, in Unix seconds.
    pub(crate) expires: i64,
}

/// A new challenge for a product.
pub(crate) fn answer(app: &App, product: &ProductId) -> Result<ApiGatewayV2httpResponse, Problem> {
    if !app.config.door.offers_challenges() {
        return Err(Problem::new(StatusCode::NOT_FOUND, "no challenge is asked for here"));
    }
    let options = CreateChallengeOptions {
        algorithm: ALGORITHM.to_owned(),
        cost: COST,
        key_prefix: KEY_PREFIX.to_owned(),
        data: Some(BTreeMap::from([(PRODUCT.to_owned(), Value::from(product.as_str()))])),
        expires_at: Some(clock::now().as_second() + LIFETIME_SECONDS),
        hmac_signature_secret: Some(app.config.key.challenge_secret()),
        ..CreateChallengeOptions::default()
    };
    let challenge = create_challenge(options).map_err(|error| {
        tracing::error!(%error, "a challenge cannot be made");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "a challenge cannot be made")
    })?;
    Ok(json(StatusCode::OK, &challenge))
}

/// Where the challenge is, relative to the request of an ask: beside it, however many slashes that ends in (RFC 3986, 5.2).
pub(crate) fn beside(request: &ApiGatewayV2httpRequest) -> String {
    let path = request.raw_path.as_deref().unwrap_or_default();
    let slashes = path.len() - path.trim_end_matches('/').len();
    format!("{}challenge", "../".repeat(slashes))
}

/// Checks a solution; `None` where it is none of a challenge of ours for this product whose time is not over.
pub(crate) fn verify(key: &Key, product: &ProductId, text: &str) -> Option<Solved> {
    let payload: Payload = serde_json::from_slice(&STANDARD.decode(text.trim()).ok()?).ok()?;
    let parameters = &payload.challenge.parameters;
    // Ours always have one; without one, a challenge would never expire.
    let expires = parameters.expires_at.filter(|expires| *expires > 0)?;
    let is_of_product = parameters.data.as_ref()?.get(PRODUCT)?.as_str()? == product.as_str();
    let options = VerifySolutionOptions::new(&payload.challenge, &payload.solution, key.challenge_secret());
    let verified = verify_solution(options).is_ok_and(|result| result.verified);
    (is_of_product && verified).then(|| Solved { nonce: payload.challenge.parameters.nonce.clone(), expires })
}
