//! A plain form of a page, without any script: a page or the way to one comes out, also when it is refused.

use serde_json::json;

use crate::support::{Answer, Shop, System, shared};

async fn post(shop: &Shop, product: &str, language: &str, body: &str) -> Answer {
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("accept-language", language)];
    shop.request("POST", &format!("/products/{product}/subscriptions"), &headers, body.to_owned()).await
}

#[tokio::test]
async fn a_form_subscribes_and_its_answer_is_a_page_in_the_language_of_the_form() {
    let shop = shared();
    let page = post(&shop, "form", "fr", "email=form%40example.com&locale=de&name=J%C3%BCrgen+B").await;
    assert_eq!((page.status, page.header("content-language")), (200, "de"), "{page:?}");
    assert!(page.header("content-type").starts_with("text/html"), "{page:?}");
    assert!(page.header("content-security-policy").contains("default-src 'none'"), "{page:?}");
    assert!(page.body.contains("<h1>Sie stehen auf der Liste</h1>"), "{page:?}");
    let again = post(&shop, "form", "fr", "email=form%40example.com&locale=de").await;
    assert_eq!((again.status, again.body), (page.status, page.body), "a repeat is answered alike");
    shop.stock("form", json!({ "quantity": 1 })).await;
    let mail = shop.only_mail("form@example.com").await;
    assert!(mail.to_string().contains("Jürgen B"), "{mail:#}");
    let there = post(&shop, "form", "en", "email=late%40example.com").await;
    assert!(there.body.contains("This product is in stock"), "{there:?}");
}

#[tokio::test]
async fn a_form_that_cannot_be_used_is_answered_by_a_page_that_says_what_is_wrong() {
    let shop = shared();
    let long = format!("email={}", "x".repeat(17_000));
    for (language, body, status, words) in [
        ("en", "email=", 400, "This email address cannot be used"),
        ("de", "name=Jo", 400, "Diese E-Mail-Adresse kann nicht verwendet werden"),
        ("fr", "email=not-an-address", 400, "Cette adresse e-mail ne peut pas être utilisée"),
        ("en", "email=noreply@example.com", 400, "This email address cannot be used"),
        ("en", long.as_str(), 413, "This form cannot be read"),
    ] {
        let page = post(&shop, "form-refused", language, body).await;
        assert_eq!((page.status, page.header("content-language")), (status, language), "{page:?}");
        assert!(page.body.contains(words) && page.body.contains("role=\"alert\""), "{page:?}");
        assert!(!page.body.contains("not-an-address"), "what was sent is not repeated: {page:?}");
    }
    assert_eq!(shop.waiting("form-refused").await, 0);
}

#[tokio::test]
async fn a_form_leads_where_the_shop_wants_and_a_program_is_answered_as_ever() {
    let environment = [
        ("FORM_REDIRECT", "https://shop.example/p/{productId}?alert={status}"),
        ("LIMITS", "on"),
        ("LIMIT_ADDRESS", "1/1h"),
    ];
    let system = System::start(&[], &environment);
    let shop = system.shop();
    let client =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    for (body, word) in [
        ("email=jo%40example.com", "waiting"),
        ("email=jo%40example.com", "limited"),
        ("email=nobody", "invalid"),
    ] {
        let url = format!("{}/products/a%2Fb%20c/subscriptions", shop.api);
        let kind = "application/x-www-form-urlencoded";
        let answer = client.post(url).header("content-type", kind).body(body).send().await.unwrap();
        let location = answer.headers()["location"].to_str().unwrap();
        let expected = format!("https://shop.example/p/a%2Fb%20c?alert={word}");
        assert_eq!((answer.status().as_u16(), location), (303, expected.as_str()), "{body}");
    }
    assert_eq!(shop.ask("p", json!({ "email": "al@example.com" })).await.status, 201);
    let limited = shop.ask("p", json!({ "email": "al@example.com" })).await;
    assert_eq!((limited.status, limited.header("content-type")), (429, "application/problem+json"));
}
