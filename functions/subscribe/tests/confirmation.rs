//! Asks that are to be confirmed, in process: on a table in memory and a captured SES.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::{Duration, Instant};

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use aws_lambda_events::encodings::Body;
use domain::link::Confirm;
use domain::suppression::Reason;
use domain::unsubscribe::{Key, Ticket};
use domain::user_token::{UserTokenKey, Vouched};
use domain::{Address, Lane, PersonId, PersonKey, ProductId, UserId};
use jiff::{SignedDuration, Timestamp};
use notify_me_subscribe::{App, handle};
use serde_json::{Value, json};
use ses_inbox::{Options, Ses};
use store::subscription::Subscription;
use store::test_util::Calls;
use store::{Store, test_util};

mod support;

use support::{KEY, config};

struct Bench {
    app: App,
    store: Store,
    ses: Ses,
    calls: Calls,
}

/// What is asked of the function, and how it answers.
struct Answer {
    status: i64,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

impl Bench {
    async fn new(settings: &[(&str, &str)]) -> Self {
        let ses = Ses::start(Options::default()).await.unwrap();
        let loader = lambda::aws::loader_for_stand_in("us-east-1".to_owned());
        let aws = loader.endpoint_url(ses.url()).load().await;
        let (store, calls) = test_util::counted_store(&aws).await.unwrap();
        let own: Vec<_> = settings.iter().copied().chain([("USER_TOKEN_KEY", KEY)]).collect();
        let config = config(&own);
        Self { app: App::new(config, &aws, store.clone()), store, ses, calls }
    }

    async fn answer(&self, route: &str, parameter: (&str, &str), body: &str) -> Answer {
        let (method, path) = route.split_once(' ').unwrap();
        let event = json!({
            "version": "2.0", "routeKey": route, "rawPath": path, "pathParameters": { parameter.0: parameter.1 },
            "headers": { "referer": "https://shop.example/p/1?email=jo@example.com", "accept-language": "fr" },
            "requestContext": { "http": { "method": method } }, "body": body, "isBase64Encoded": false,
        });
        let request: ApiGatewayV2httpRequest = serde_json::from_value(event).unwrap();
        let answer = handle(&self.app, &request).await;
        let Some(Body::Text(text)) = answer.body else { panic!("no text") };
        Answer { status: answer.status_code, text }
    }

    async fn ask(&self, product: &str, wish: Value) -> Answer {
        let route = "POST /products/{productId}/subscriptions";
        self.answer(route, ("productId", product), &wish.to_string()).await
    }

    async fn page(&self, token: &str) -> Answer {
        self.answer("GET /confirm/{token}", ("token", token), "").await
    }

    async fn confirm(&self, token: &str) -> Answer {
        self.answer("POST /confirm/{token}", ("token", token), "").await
    }

    async fn found(&self, product: &str, email: &str) -> Option<Subscription> {
        self.store.subscriptions().find(person(email), &id(product)).await.unwrap()
    }

    /// The link of the email that asks for a confirmation.
    async fn token(&self, product: &str, email: &str) -> String {
        let found = self.found(product, email).await.unwrap();
        let expires = Timestamp::from_second(found.ttl).unwrap();
        let (person, product) = (person(email), id(product));
        Confirm { person, product, position: found.position, expires }.sign(&key())
    }

    async fn waiting(&self, product: &str) -> u64 {
        let route = "GET /products/{productId}/subscriptions/count";
        self.answer(route, ("productId", product), "").await.json()["waiting"].as_u64().unwrap()
    }

    async fn ses_faults(&self, faults: Value) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let put = http.put(format!("{}/_aws/ses/faults", self.ses.url())).json(&faults);
        assert!(put.send().await.unwrap().status().is_success());
    }

    fn emails(&self) -> usize {
        self.ses.counts().mails
    }
}

fn key() -> Key {
    Key::new(KEY).unwrap()
}

fn id(product: &str) -> ProductId {
    ProductId::parse(product).unwrap()
}

fn person(email: &str) -> PersonId {
    PersonKey::new(KEY).unwrap().person(&Address::parse(email).unwrap())
}

fn in_minutes(minutes: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_mins(minutes)
}

fn user_token(user: &str, email: &str, minutes: i64) -> String {
    token(user, email, minutes, false)
}

fn token(user: &str, email: &str, minutes: i64, priority: bool) -> String {
    let (user, address) = (UserId::parse(user).unwrap(), Address::parse(email).unwrap());
    UserTokenKey::new(KEY).unwrap().sign(&user, &address, in_minutes(minutes), Vouched { priority })
}

/// What a person asks for whom the shop vouches.
fn vouched(email: &str, priority: bool) -> Value {
    json!({ "email": email, "userId": "u-1", "userToken": token("u-1", email, 5, priority) })
}

fn accepted(product: &str) -> Value {
    json!({ "productId": product, "status": "accepted", "inStock": false })
}

#[tokio::test]
async fn an_ask_waits_once_it_is_confirmed_and_the_address_needs_no_second_confirmation() {
    let bench = Bench::new(&[("CONFIRMATION", "all")]).await;
    let jo = json!({ "email": "jo@example.com", "locale": "de", "consentText": "v7" });
    let asked = bench.ask("p", jo.clone()).await;
    assert_eq!((asked.status, asked.json()), (202, accepted("p")));
    assert_eq!((bench.waiting("p").await, bench.emails()), (0, 1), "nobody waits");
    let token = bench.token("p", "jo@example.com").await;
    for _ in 0..3 {
        let page = bench.page(&token).await;
        assert_eq!(page.status, 200);
        for part in ["<html lang=\"de\">", "<main><h1>", "<form method=\"post\"><button type=\"submit\">"] {
            assert!(page.text.contains(part), "{part} is not in {}", page.text);
        }
    }
    assert_eq!(bench.waiting("p").await, 0, "a scanner that follows links confirms nothing");
    let before = bench.found("p", "jo@example.com").await.unwrap();
    for _ in 0..2 {
        let done = bench.confirm(&token).await;
        assert!(done.status == 200 && done.text.contains("Sie stehen auf der Liste"), "{}", done.text);
    }
    assert_eq!(bench.waiting("p").await, 1);
    let after = bench.found("p", "jo@example.com").await.unwrap();
    assert_eq!(after.position, before.position, "the place of the ask");
    assert!(after.pending.is_none() && after.confirmed_at.is_some());
    let consent =
        bench.store.consents().find(person("jo@example.com"), before.position).await.unwrap().unwrap();
    assert!(
        consent.confirmed_at.is_some() && consent.source == "api" && consent.words.as_deref() == Some("v7")
    );
    assert_eq!(consent.page.as_deref(), Some("https://shop.example/p/1"));
    assert!(bench.store.persons().read(person("jo@example.com")).await.unwrap().confirmed_at.is_some());

    let other = bench.ask("q", jo).await;
    assert_eq!((other.status, other.json()), (202, accepted("q")));
    assert_eq!((bench.waiting("q").await, bench.emails()), (1, 2), "told that they are on the list");
}

#[tokio::test]
async fn a_repeat_keeps_the_place_and_sends_no_second_email_and_an_address_gets_so_many_a_day() {
    let bench = Bench::new(&[("CONFIRMATION", "guests"), ("EMAILS_A_DAY", "2")]).await;
    let jo = json!({ "email": "jo@example.com" });
    bench.ask("p", jo.clone()).await;
    let first = bench.found("p", "jo@example.com").await.unwrap();
    for spelling in ["jo@example.com", "JO@example.com"] {
        let again = bench.ask("p", json!({ "email": spelling, "name": "Nobody", "locale": "fr" })).await;
        assert_eq!((again.status, again.json()), (202, accepted("p")));
    }
    assert!(bench.found("p", "jo@example.com").await.unwrap() == first);
    assert_eq!(bench.emails(), 1);
    for (product, emails) in [("q", 2), ("r", 2), ("s", 2)] {
        let asked = bench.ask(product, jo.clone()).await;
        assert_eq!((asked.status, asked.json()), (202, accepted(product)));
        assert_eq!(bench.emails(), emails, "{product}");
    }
    // The one that was not sent is due as soon as the address may get one again.
    assert!(bench.found("q", "jo@example.com").await.unwrap().emailed.is_some());
    assert!(bench.found("r", "jo@example.com").await.unwrap().emailed.is_none());
}

#[tokio::test]
async fn a_repeat_a_day_later_sends_the_email_again_for_the_same_place_with_time_to_confirm() {
    let bench = Bench::new(&[("CONFIRMATION", "all")]).await;
    let jo = json!({ "email": "jo@example.com" });
    bench.ask("p", jo.clone()).await;
    let (who, p, subscriptions) = (person("jo@example.com"), id("p"), bench.store.subscriptions());
    let first = bench.found("p", "jo@example.com").await.unwrap();
    for (seconds_ago, emails) in [(86_000, 1), (86_401, 2)] {
        let then = first.emailed.unwrap() - seconds_ago;
        let earlier = Subscription { emailed: Some(then), ttl: then + 172_800, ..first.clone() };
        let now = bench.found("p", "jo@example.com").await;
        assert!(subscriptions.ask(who, &p, now.as_ref(), &earlier).await.unwrap().is_applied());
        bench.ask("p", jo.clone()).await;
        assert_eq!(bench.emails(), emails, "{seconds_ago}");
        let found = bench.found("p", "jo@example.com").await.unwrap();
        assert_eq!(found.position, first.position);
        assert_eq!(found.ttl >= first.ttl, emails == 2, "{seconds_ago}");
    }
    assert_eq!(bench.confirm(&bench.token("p", "jo@example.com").await).await.status, 200);
}

#[tokio::test]
async fn only_a_token_of_the_shops_spares_a_guest_the_confirmation() {
    let good = user_token("u-1", "jo@example.com", 5);
    for (setting, user, token, vouched, status) in [
        ("guests", Some("u-1"), Some(good.clone()), true, 201),
        ("guests", Some("u-1"), Some(user_token("u-2", "jo@example.com", 5)), false, 202),
        ("guests", Some("u-1"), Some(user_token("u-1", "al@example.com", 5)), false, 202),
        ("guests", Some("u-1"), Some(user_token("u-1", "jo@example.com", -1)), false, 202),
        ("guests", Some("u-1"), Some("forged".to_owned()), false, 202),
        ("guests", None, Some(good.clone()), false, 202),
        ("guests", Some("u-1"), None, false, 202),
        ("all", Some("u-1"), Some(good.clone()), true, 202),
        ("off", Some("u-1"), Some(good.clone()), true, 201),
        ("off", Some("u-1"), None, false, 201),
    ] {
        let bench = Bench::new(&[("CONFIRMATION", setting)]).await;
        let wish = json!({ "email": "jo@example.com", "userId": user, "userToken": token });
        let asked = bench.ask("p", wish.clone()).await;
        assert_eq!(asked.status, status, "{setting} {wish}");
        assert_eq!(bench.waiting("p").await, u64::from(status == 201), "{setting} {wish}");
        let ignored = asked.json()["ignored"][0]["field"].clone();
        assert_eq!(ignored == "userToken", token.is_some() && !vouched, "{setting} {wish}");
        let persons = bench.store.users().persons_of(&UserId::parse("u-1").unwrap()).await.unwrap();
        assert_eq!(persons.len(), usize::from(vouched), "{setting} {wish}");
    }
}

#[tokio::test]
async fn whom_the_shop_vouches_for_with_priority_waits_in_that_lane_and_a_waiting_place_stays_in_its_own() {
    let bench = Bench::new(&[("CONFIRMATION", "guests")]).await;
    let lane = async |product: &str, email: &str| bench.found(product, email).await.unwrap().shard.lane;
    for (email, priority, expected) in
        [("jo@example.com", true, Lane::PriorityMail), ("al@example.com", false, Lane::Mail)]
    {
        assert_eq!(bench.ask("p", vouched(email, priority)).await.status, 201, "{email}");
        assert_eq!(lane("p", email).await, expected, "{email}");
        // A repeat with or without priority moves nobody.
        for again in [vouched(email, !priority), json!({ "email": email })] {
            bench.ask("p", again).await;
            assert_eq!(lane("p", email).await, expected, "{email}");
        }
    }
    assert_eq!(bench.waiting("p").await, 2, "both lanes");
    let stored = bench.store.products().read(&id("p")).await.unwrap();
    assert_eq!(stored.shards.priority, domain::ShardCount::new(1));
    // One who only says so has none.
    let forged = token("u-2", "ed@example.com", 5, true);
    let asked =
        bench.ask("p", json!({ "email": "ed@example.com", "userId": "u-1", "userToken": forged })).await;
    assert_eq!((asked.status, asked.json()["ignored"][0]["field"].clone()), (202, json!("userToken")));
    assert_eq!(lane("p", "ed@example.com").await, Lane::Mail);
    // The link of an email leads to the place, whatever its lane.
    let found = bench.found("p", "jo@example.com").await.unwrap();
    let ticket = Ticket { product: id("p"), shard: found.shard, position: found.position }.sign(&key());
    assert_eq!(bench.answer("POST /unsubscribe/{token}", ("token", &ticket), "").await.status, 200);
    assert_eq!((bench.found("p", "jo@example.com").await.is_none(), bench.waiting("p").await), (true, 1));
    assert_eq!(bench.ask("p", vouched("jo@example.com", false)).await.status, 201);
    assert_eq!(lane("p", "jo@example.com").await, Lane::Mail, "a new place is where its own ask says");
}

#[tokio::test]
async fn an_ask_that_is_to_be_confirmed_keeps_the_lane_that_it_was_made_with() {
    let bench = Bench::new(&[("CONFIRMATION", "all")]).await;
    for (product, priority, lane) in [("p", true, Lane::PriorityMail), ("q", false, Lane::Mail)] {
        let email = &format!("{product}@example.com");
        assert_eq!(bench.ask(product, vouched(email, priority)).await.status, 202);
        assert_eq!(bench.store.products().read(&id(product)).await.unwrap().shards.priority, None, "not yet");
        let token = bench.token(product, email).await;
        assert_eq!(bench.confirm(&token).await.status, 200);
        assert_eq!(bench.found(product, email).await.unwrap().shard.lane, lane);
        assert_eq!(bench.waiting(product).await, 1);
    }
    // A guest's ask that the shop vouches for later is as good as confirmed, in the lane of its word.
    let bench = Bench::new(&[("CONFIRMATION", "guests")]).await;
    bench.ask("p", json!({ "email": "jo@example.com" })).await;
    let asked = bench.found("p", "jo@example.com").await.unwrap();
    assert_eq!((asked.shard.lane, asked.pending.is_some()), (Lane::Mail, true));
    assert_eq!(bench.ask("p", vouched("jo@example.com", true)).await.status, 201);
    let found = bench.found("p", "jo@example.com").await.unwrap();
    assert_eq!((found.shard.lane, found.position), (Lane::PriorityMail, asked.position));
}

#[tokio::test]
async fn a_person_who_is_to_be_left_alone_gets_nothing_and_only_their_own_word_lifts_theirs() {
    for reason in Reason::ALL {
        for setting in ["off", "guests", "all"] {
            let bench = Bench::new(&[("CONFIRMATION", setting)]).await;
            let who = person("jo@example.com");
            bench.store.persons().confirm(who, Timestamp::now()).await.unwrap().is_applied();
            bench.store.persons().suppress(who, reason, Timestamp::now()).await.unwrap().is_applied();
            let asked = bench.ask("p", json!({ "email": "jo@example.com" })).await;
            let new = bench.ask("p", json!({ "email": "new@example.com" })).await;
            assert_eq!((asked.status, asked.json()), (new.status, new.json()), "{reason} {setting}");
            let may_confirm = reason == Reason::OptedOut && setting != "off";
            let found = bench.found("p", "jo@example.com").await;
            assert_eq!(found.is_some_and(|found| found.pending.is_some()), may_confirm, "{reason} {setting}");
            let of_new = usize::from(setting != "off");
            assert_eq!(bench.emails(), of_new + usize::from(may_confirm), "{reason} {setting}");
            if may_confirm {
                let token = bench.token("p", "jo@example.com").await;
                assert_eq!(bench.confirm(&token).await.status, 200);
                assert_eq!(bench.store.persons().read(who).await.unwrap().suppressed, None);
            }
        }
    }
}

#[tokio::test]
async fn a_link_that_confirms_nothing_says_so() {
    let bench = Bench::new(&[("CONFIRMATION", "all")]).await;
    bench.ask("p", json!({ "email": "jo@example.com", "locale": "de" })).await;
    let (who, found) = (person("jo@example.com"), bench.found("p", "jo@example.com").await.unwrap());
    let link = |product: &str, minutes: i64| {
        let (product, position) = (id(product), found.position);
        Confirm { person: who, product, position, expires: in_minutes(minutes) }.sign(&key())
    };
    let ticket = Ticket { product: id("p"), shard: found.shard, position: found.position }.sign(&key());
    for (what, token, status) in [
        ("expired", link("p", -1), 410),
        ("never asked for", link("q", 5), 410),
        ("not signed", "x".to_owned(), 404),
        ("of another purpose", ticket, 404),
    ] {
        for answer in [bench.page(&token).await, bench.confirm(&token).await] {
            assert_eq!(answer.status, status, "{what}");
            assert!(answer.text.contains("<html lang=\"fr\">") && !answer.text.contains("<form"), "{what}");
        }
    }
    // Suppressed between the ask and the confirmation.
    let token = link("p", 5);
    bench.store.persons().suppress(who, Reason::Complaint, Timestamp::now()).await.unwrap().is_applied();
    assert_eq!(bench.confirm(&token).await.status, 410);
    assert_eq!(bench.waiting("p").await, 0);
    bench.store.persons().lift(who, Reason::Complaint).await.unwrap().is_applied();
    // Left before it was confirmed, and asked for again: the first ask's link confirms the second no more.
    assert!(bench.store.subscriptions().end(who, &id("p"), &found).await.unwrap().is_applied());
    assert_eq!(bench.confirm(&token).await.status, 410);
    bench.ask("p", json!({ "email": "jo@example.com" })).await;
    assert_eq!((bench.confirm(&token).await.status, bench.waiting("p").await), (410, 0));
}

#[tokio::test]
async fn the_link_of_an_email_ends_a_pending_ask_too() {
    let bench = Bench::new(&[("CONFIRMATION", "all")]).await;
    let (who, p) = (person("jo@example.com"), id("p"));
    bench.ask("p", json!({ "email": "jo@example.com" })).await;
    assert_eq!(bench.confirm(&bench.token("p", "jo@example.com").await).await.status, 200);
    let told = bench.found("p", "jo@example.com").await.unwrap();
    // They ask once more, as somebody who has to confirm.
    let asked = Subscription {
        position: domain::Position::new(u64::try_from(Timestamp::now().as_millisecond()).unwrap() + 9, 1),
        pending: Some(store::subscription::Pending {
            address: Address::parse("jo@example.com").unwrap(),
            name: None,
        }),
        ..told.clone()
    };
    assert!(bench.store.subscriptions().ask(who, &p, Some(&told), &asked).await.unwrap().is_applied());
    let ticket = Ticket { product: p, shard: told.shard, position: told.position }.sign(&key());
    let left = bench.answer("POST /unsubscribe/{token}", ("token", &ticket), "").await;
    assert_eq!(left.status, 200);
    assert!(bench.found("p", "jo@example.com").await.is_none());
}

#[tokio::test]
async fn an_email_that_ses_does_not_take_changes_no_answer_and_is_sent_with_the_next_ask() {
    let bench = Bench::new(&[("CONFIRMATION", "all")]).await;
    bench.ses_faults(json!({ "failNext": 1 })).await;
    for emails in [0, 1, 1] {
        let asked = bench.ask("p", json!({ "email": "jo@example.com" })).await;
        assert_eq!((asked.status, asked.json()), (202, accepted("p")));
        assert_eq!(bench.emails(), emails);
    }
}

#[tokio::test]
async fn an_answer_without_an_email_takes_as_long_as_the_last_with_one() {
    let bench = Bench::new(&[("CONFIRMATION", "all")]).await;
    let who = person("suppressed@example.com");
    bench.store.persons().suppress(who, Reason::Bounce, Timestamp::now()).await.unwrap().is_applied();
    bench.ses_faults(json!({ "latencyMs": 300 })).await;
    for (email, emails) in [("new@example.com", 1), ("new@example.com", 1), ("suppressed@example.com", 1)] {
        let began = Instant::now();
        assert_eq!(bench.ask("p", json!({ "email": email })).await.status, 202);
        assert!(began.elapsed() >= Duration::from_millis(300), "{email} {emails}: {:?}", began.elapsed());
        assert_eq!(bench.emails(), emails, "{email}");
    }
}

/// Holds a request to its calls to the table; one in 64 new places takes so many more, because it counts what waits.
fn takes(bench: &Bench, what: &str, calls: usize, counting: usize) {
    let taken = bench.calls.take();
    assert!(taken == calls || taken == calls + counting, "{taken} calls to the table for {what}");
}

#[tokio::test]
async fn each_request_takes_so_many_calls_to_the_table_and_no_more() {
    let bench = Bench::new(&[("CONFIRMATION", "all")]).await;
    let jo = json!({ "email": "jo@example.com" });
    bench.ask("p", jo.clone()).await;
    takes(&bench, "an ask", 6, 0);
    bench.ask("p", jo.clone()).await;
    takes(&bench, "a repeat", 3, 0);
    let token = bench.token("p", "jo@example.com").await;
    bench.calls.take();
    bench.page(&token).await;
    takes(&bench, "the page that asks", 1, 0);
    bench.confirm(&token).await;
    takes(&bench, "a confirmation", 6, 2);
    bench.confirm(&token).await;
    takes(&bench, "a second one", 9, 0);
    bench.ask("q", jo.clone()).await;
    takes(&bench, "an ask of a confirmed address", 10, 2);
    let found = bench.found("p", "jo@example.com").await.unwrap();
    bench.calls.take();
    let ticket = Ticket { product: id("p"), shard: found.shard, position: found.position }.sign(&key());
    bench.answer("POST /unsubscribe/{token}", ("token", &ticket), "").await;
    takes(&bench, "leaving", 5, 0);

    let bench = Bench::new(&[]).await;
    bench.ask("p", jo.clone()).await;
    takes(&bench, "an ask, with confirmations off", 4, 2);
    bench.ask("p", jo.clone()).await;
    takes(&bench, "a repeat, with confirmations off", 6, 0);
    // One who is vouched for takes one more, to write who they are; with priority, one more again, once a product.
    for (email, priority, calls) in
        [("a@example.com", false, 5), ("b@example.com", true, 6), ("c@example.com", true, 5)]
    {
        bench.ask("p", vouched(email, priority)).await;
        takes(&bench, email, calls, 2);
    }
}
