//! Asks that are to be confirmed: nobody waits, and nobody is told, before the person has pressed the button.

use domain::link::Confirm;
use domain::unsubscribe::Key;
use domain::user_token::{UserTokenKey, Vouched};
use domain::{Address, PersonId, Position, ProductId, UserId};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::{Shop, System, header, link_after, tag, text};

const KEY: &str = "a key for these tests and nothing else";

fn system(setting: &str) -> System {
    System::start(
        &[],
        &[
            ("CONFIRMATION", setting),
            ("USER_TOKEN_KEY", KEY),
            ("UNSUBSCRIBE_KEY", KEY),
            ("SHOP_ADDRESS", "1 High Street, Springfield"),
        ],
    )
}

/// An ask that is taken. The answer is one and the same for everybody.
async fn accepted(shop: &Shop, product: &str, wish: Value) {
    let answer = shop.ask(product, wish).await;
    let body = json!({ "productId": product, "status": "accepted", "inStock": false });
    assert_eq!((answer.status, answer.json()), (202, body), "{answer:?}");
}

/// The emails of a kind to an address.
async fn of_kind(shop: &Shop, to: &str, kind: &str) -> Vec<Value> {
    let mails = shop.inbox(to).await;
    mails.into_iter().filter(|mail| tag(mail, "kind") == kind).collect()
}

async fn confirm_link(shop: &Shop, to: &str) -> String {
    let mails = of_kind(shop, to, "confirm").await;
    assert_eq!(mails.len(), 1, "{mails:#?}");
    let link = link_after(&mails[0], ":\n").to_owned();
    assert!(link.starts_with(&format!("{}/confirm/", shop.api)), "{link}");
    link
}

#[tokio::test]
async fn only_a_person_who_pressed_the_button_is_told_once_and_at_the_place_of_their_ask() {
    let system = system("all");
    let shop = system.shop();
    let emails = ["first@example.com", "second@example.com", "never@example.com"];
    for (n, email) in emails.into_iter().enumerate() {
        accepted(&shop, "p", json!({ "email": email })).await;
        // A repeat changes nothing, and sends nothing.
        accepted(&shop, "p", json!({ "email": email, "name": "Nobody", "locale": "fr" })).await;
        assert_eq!(of_kind(&shop, email, "confirm").await.len(), 1, "{n}");
    }
    let mail = &of_kind(&shop, "first@example.com", "confirm").await[0];
    assert_eq!(mail["Subject"], "Please confirm your alert for the product you asked for");
    assert!(text(mail).contains("1 High Street, Springfield"), "{mail:#}");
    for email in emails {
        let link = confirm_link(&shop, email).await;
        for method in ["GET", "HEAD", "GET"] {
            assert_eq!(shop.request(method, &link, &[], "").await.status, 200, "{method}");
        }
    }
    assert_eq!(shop.waiting("p").await, 0, "a scanner that follows links confirms nothing");
    // In the other order than they asked.
    for email in ["second@example.com", "first@example.com"] {
        let link = confirm_link(&shop, email).await;
        for _ in 0..2 {
            let done = shop.request("POST", &link, &[], "").await;
            assert!(done.status == 200 && done.body.contains("You are on the list"), "{done:?}");
        }
    }
    assert_eq!(shop.waiting("p").await, 2);
    shop.stock("p", json!({ "quantity": 5, "product": { "name": "Lamp" } })).await;
    shop.mails("first@example.com", 2).await;
    shop.mails("second@example.com", 2).await;
    shop.rest().await;
    let told = shop.everything().await.into_iter().filter(|mail| mail["Subject"] == "Lamp is back in stock");
    let told: Vec<Value> = told.collect();
    let to: Vec<&Value> = told.iter().map(|mail| &mail["Destination"]["ToAddresses"][0]).collect();
    assert_eq!(to, ["first@example.com", "second@example.com"]);
    assert!(text(&told[0]).contains("1 High Street, Springfield"), "{:#}", told[0]);

    // Their addresses are confirmed: they wait for another product at once, and are told so.
    for _ in 0..2 {
        accepted(&shop, "q", json!({ "email": "first@example.com" })).await;
    }
    assert_eq!(shop.waiting("q").await, 1);
    let listed = of_kind(&shop, "first@example.com", "listed").await;
    assert_eq!(listed.len(), 1, "{listed:#?}");
    let leave = link_after(&listed[0], "alert: ");
    assert_eq!(header(&listed[0], "List-Unsubscribe"), format!("<{leave}>"));
    assert_eq!(shop.request("POST", leave, &[], "").await.status, 200);
    assert_eq!(shop.waiting("q").await, 0);
    // Whoever confirms what is in stock by then is told so on the page.
    let link = confirm_link(&shop, "never@example.com").await;
    let done = shop.request("POST", &link, &[], "").await;
    assert!(done.status == 200 && done.body.contains("in stock right now"), "{done:?}");
}

#[tokio::test]
async fn a_caller_for_whom_the_shop_vouches_confirms_nothing_and_any_other_does() {
    let system = system("guests");
    let shop = system.shop();
    let token = |user: &str, email: &str, minutes: i64| {
        let (user, email) = (UserId::parse(user).unwrap(), Address::parse(email).unwrap());
        let expires = Timestamp::now() + SignedDuration::from_mins(minutes);
        UserTokenKey::new(KEY).unwrap().sign(&user, &email, expires, Vouched { priority: false })
    };
    let jo = |token: String| json!({ "email": "Jo@example.com", "userId": "user-1", "userToken": token });
    for forged in [
        token("user-2", "jo@example.com", 5),
        token("user-1", "al@example.com", 5),
        token("user-1", "jo@example.com", -5),
        "1999999999.AAAA".to_owned(),
    ] {
        let answer = shop.ask("p", jo(forged)).await;
        assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("accepted")));
        assert_eq!(answer.json()["ignored"][0]["field"], "userToken");
    }
    assert_eq!(shop.waiting("p").await, 0);
    // The ask is as good as confirmed, at its place.
    let answer = shop.ask("p", jo(token("user-1", "jo@example.com", 5))).await;
    assert_eq!((answer.status, &answer.json()["status"]), (201, &json!("waiting")));
    assert_eq!(shop.waiting("p").await, 1);
    assert_eq!(
        of_kind(&shop, "jo@example.com", "confirm").await.len(),
        1,
        "of the first ask, without a token"
    );
}

#[tokio::test]
async fn a_link_whose_time_is_over_says_so_and_one_that_was_not_signed_is_not_found() {
    let system = system("guests");
    let shop = system.shop();
    let confirm = Confirm {
        person: PersonId::from_bytes([7; 16]),
        product: ProductId::parse("p").unwrap(),
        position: Position::new(1, 1),
        expires: Timestamp::now() - SignedDuration::from_mins(1),
    };
    let expired = confirm.sign(&Key::new(KEY).unwrap());
    for (token, status) in [(expired.as_str(), 410), ("x", 404)] {
        for method in ["GET", "POST"] {
            let german = [("accept-language", "de")];
            let page = shop.request(method, &format!("/confirm/{token}"), &german, "").await;
            assert_eq!((page.status, page.header("content-language")), (status, "de"), "{method}");
            assert!(page.header("content-security-policy").starts_with("default-src 'none'"), "{page:?}");
        }
    }
}

#[tokio::test]
async fn no_log_of_a_confirmation_holds_what_belongs_to_a_person() {
    let most_detailed = [("RUST_LOG", "trace"), ("CONFIRMATION", "all"), ("AWS_LAMBDA_LOG_FORMAT", "JSON")];
    let system = System::start(&[], &most_detailed);
    let shop = system.shop();
    accepted(&shop, "p", json!({ "email": "pauline.private@example.com", "userId": "user-private-7" })).await;
    let link = confirm_link(&shop, "pauline.private@example.com").await;
    assert_eq!(shop.request("GET", &link, &[], "").await.status, 200);
    assert_eq!(shop.request("POST", &link, &[], "").await.status, 200);
    accepted(&shop, "q", json!({ "email": "pauline.private@example.com" })).await;
    let (_, token) = link.rsplit_once('/').unwrap();
    let log = system.log();
    assert!(log.contains("\"confirmed\""), "{log}");
    for private in ["private", token] {
        let line = log.lines().find(|line| line.contains(private));
        assert_eq!(line, None, "{private}");
    }
}
