//! A person's alerts, from the link in an email to their end.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Answer, Shop, System, link_after, shared, tag, text};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn ask_for_link(shop: &Shop, email: &str) -> Answer {
    let body = json!({ "email": email }).to_string();
    shop.request("POST", "/alerts/link", &[("content-type", "application/json")], body).await
}

async fn page(shop: &Shop, url: &str) -> Answer {
    let answer = shop.request("GET", url, &[], "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// The states on a page, in its order.
fn states(page: &Answer) -> Vec<&str> {
    let rest = page.body.split("data-state=\"").skip(1);
    rest.map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn the_link_that_was_asked_for_leads_to_the_alerts_in_the_language_of_the_person() {
    let shop = shared();
    let (jo, nobody) = ("alerts-jo@example.com", "alerts-nobody@example.com");
    for product in ["alerts-a", "alerts/b"] {
        let answer = shop.ask(&product.replace('/', "%2F"), json!({ "email": jo, "locale": "fr" })).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let known = ask_for_link(&shop, jo).await;
    let unknown = ask_for_link(&shop, nobody).await;
    assert_eq!((known.status, unknown.status), (202, 202));
    assert_eq!(known.body, unknown.body);

    let mail = shop.only_mail(jo).await;
    assert_eq!(tag(&mail, "kind"), "alerts");
    assert!(text(&mail).contains("valable 30 minutes"), "{mail:#}");
    assert!(shop.inbox(nobody).await.is_empty());
    let link = link_after(&mail, "Voir mes alertes:").to_owned();
    let list = page(&shop, &link).await;
    assert!(list.body.contains("lang=\"fr\"") && list.body.contains("Vos alertes"), "{list:?}");
    assert_eq!(states(&list), ["waiting", "waiting"]);

    let left = shop.request("POST", &format!("{link}/leave"), &[FORM], "productId=alerts%2Fb").await;
    assert_eq!((left.status, states(&left)), (200, vec!["waiting"]), "{left:?}");
    assert_eq!(shop.waiting("alerts%2Fb").await, 0);
    let slash = page(&shop, &format!("{link}/")).await;
    assert!(slash.body.contains("action=\"../"), "relative to the alerts from here too: {slash:?}");
    let export = page(&shop, &format!("{link}/export")).await;
    let subscription = &export.json()["subscribers"][0]["subscriptions"][0];
    assert_eq!((&subscription["productId"], &subscription["email"]), (&json!("alerts-a"), &json!(jo)));

    let erased = shop.request("POST", &format!("{link}/erase"), &[FORM], "").await;
    assert!(erased.status == 200 && erased.body.contains("Vos données sont effacées"), "{erased:?}");
    assert_eq!(shop.waiting("alerts-a").await, 0);
    assert!(states(&page(&shop, &link).await).is_empty());
    // Nothing is kept of them now, so nothing is sent.
    assert_eq!(ask_for_link(&shop, jo).await.status, 202);
    assert_eq!(shop.told(jo).await, 1);
}

#[tokio::test]
async fn the_link_at_the_foot_of_an_availability_email_shows_who_was_told_and_who_never_writes_again() {
    let shop = shared();
    let ann = "alerts-ann@example.com";
    shop.subscribe("alerts-foot", ann).await;
    shop.subscribe("alerts-later", ann).await;
    shop.stock("alerts-foot", json!({ "quantity": 5, "product": { "name": "Lamp & <shade>" } })).await;
    let mail = shop.only_mail(ann).await;
    let link = link_after(&mail, "All your alerts:").to_owned();
    let list = page(&shop, &link).await;
    assert!(list.body.contains("Lamp &amp; &lt;shade&gt;"), "{list:?}");
    let mut found = states(&list);
    found.sort_unstable();
    assert_eq!(found, ["told", "waiting"]);

    let never = shop.request("POST", &format!("{link}/never"), &[FORM], "").await;
    assert_eq!(never.status, 200, "{never:?}");
    assert_eq!(shop.waiting("alerts-later").await, 0);
    assert_eq!(ask_for_link(&shop, ann).await.status, 202);
    shop.stock("alerts-later", json!({ "quantity": 5 })).await;
    assert_eq!(shop.told(ann).await, 1, "neither the link nor the restock");
    let suppressed = shop.request("GET", &format!("/suppressions/{ann}"), &[], "").await;
    assert_eq!(suppressed.json()["reason"], "abuse", "{suppressed:?}");
}

#[tokio::test]
async fn an_answer_without_an_email_takes_about_as_long_as_one_with_it() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    shop.subscribe("alerts-pace", "pace@example.com").await;
    shop.ses_faults(json!({ "latencyMs": 400 })).await;
    // Eight processes may serve the API: each learns the pace by an email of its own, and one at a time is served by one.
    assert_eq!(ask_for_link(&shop, "pace@example.com").await.status, 202);
    let asked = Instant::now();
    assert_eq!(ask_for_link(&shop, "pace-nobody@example.com").await.status, 202);
    let took = asked.elapsed().as_millis();
    assert!((340..2_000).contains(&took), "{took} ms");
}

#[tokio::test]
async fn a_plain_form_is_answered_with_a_page() {
    let shop = shared();
    let answer = shop.request("POST", "/alerts/link", &[FORM], "email=alerts-form%40example.com").await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert!(answer.header("content-type").starts_with("text/html"), "{answer:?}");
    let expired = shop.request("GET", "/alerts/new", &[], "").await;
    assert!(expired.status == 404 && expired.body.contains("action=\"link\""), "{expired:?}");
    let head = shop.request("HEAD", "/alerts/new", &[], "").await;
    assert_eq!((head.status, head.body.as_str()), (404, ""));
    let refused = shop.request("POST", "/alerts/link", &[], "{}").await;
    assert_eq!((refused.status, &refused.json()["field"]), (400, &Value::from("email")));
}
