//! What people see: the mail, in their language, and the way out.

use serde_json::json;

use crate::support::{header, link_after, shared, text};

#[tokio::test]
async fn a_mail_speaks_the_shoppers_language_and_names_the_product_with_its_link_picture_and_price() {
    let shop = shared();
    let wish = json!({ "email": "jo@example.com", "locale": "de-AT", "name": "Jörg <b>" });
    assert_eq!(shop.ask("camera", wish).await.status, 201);
    shop.subscribe("camera", "default@example.com").await;
    let product = json!({
        "name": "Kamera & Co", "url": "https://shop.example/kamera?a=1&b=2",
        "imageUrl": "https://shop.example/kamera.jpg", "price": "499.00 €",
    });
    shop.stock("camera", json!({ "quantity": 2, "product": product })).await;

    let mail = shop.only_mail("jo@example.com").await;
    assert_eq!(mail["Subject"], "Kamera & Co ist wieder da");
    assert_eq!(mail["Source"], "Notify Me <shop@example.com>");
    for part in ["Guten Tag Jörg <b>,", "https://shop.example/kamera?a=1&b=2", "499.00 €"] {
        assert!(text(&mail).contains(part), "{part} is not in {mail:#}");
    }
    let html = mail["Body"]["html_part"].as_str().unwrap();
    for part in [
        "lang=\"de\"",
        "Jörg &lt;b&gt;",
        "https://shop.example/kamera?a=1&amp;b=2",
        "https://shop.example/kamera.jpg",
        "499.00 €",
    ] {
        assert!(html.contains(part), "{part} is not in {html}");
    }
    let other = shop.only_mail("default@example.com").await;
    assert_eq!(other["Subject"], "Kamera & Co is back in stock");
}

#[tokio::test]
async fn the_link_in_a_mail_changes_nothing_when_it_is_followed_and_ends_the_waiting_when_it_is_confirmed() {
    let shop = shared();
    shop.subscribe("leaving", "leaver@example.com").await;
    shop.stock("leaving", json!({ "quantity": 1 })).await;
    let mail = shop.only_mail("leaver@example.com").await;
    let link = link_after(&mail, "Do not tell me about this product again: ").to_owned();
    assert!(link.starts_with(&format!("{}/unsubscribe/", shop.api)), "{link}");
    assert_eq!(header(&mail, "List-Unsubscribe"), format!("<{link}>"));
    assert_eq!(header(&mail, "List-Unsubscribe-Post"), "List-Unsubscribe=One-Click");
    // They ask once more, and then think better of it, with the link of the mail they have.
    shop.subscribe("leaving", "leaver@example.com").await;
    assert_eq!(shop.waiting("leaving").await, 1);

    for _ in 0..3 {
        let page = shop.request("GET", &link, &[], "").await;
        assert_eq!(page.status, 200, "{page:?}");
        assert!(page.body.contains("<form method=\"post\">"), "{page:?}");
    }
    assert_eq!(shop.waiting("leaving").await, 1, "a scanner that follows links ends nothing");

    let form = [("content-type", "application/x-www-form-urlencoded")];
    for _ in 0..2 {
        let done = shop.request("POST", &link, &form, "List-Unsubscribe=One-Click").await;
        assert_eq!(done.status, 200, "{done:?}");
    }
    assert_eq!(shop.waiting("leaving").await, 0);
    shop.stock("leaving", json!({ "quantity": 0 })).await;
    shop.stock("leaving", json!({ "quantity": 1 })).await;
    assert_eq!(shop.told("leaver@example.com").await, 1, "only the mail from before");

    // Whoever left may come back.
    shop.subscribe("leaving", "leaver@example.com").await;
    shop.stock("leaving", json!({ "quantity": 2 })).await;
    assert_eq!(shop.mails("leaver@example.com", 2).await.len(), 2);
}

#[tokio::test]
async fn a_link_that_nobody_signed_ends_nothing() {
    let shop = shared();
    shop.subscribe("forged", "forged@example.com").await;
    shop.stock("forged", json!({ "quantity": 1 })).await;
    let mail = shop.only_mail("forged@example.com").await;
    let link = link_after(&mail, "again: ").to_owned();
    shop.subscribe("forged", "forged@example.com").await;
    let last = if link.ends_with('A') { "E" } else { "A" };
    let forged = format!("{}{last}", &link[..link.len() - 1]);
    for (method, link) in
        [("GET", &forged), ("POST", &forged), ("POST", &format!("{}/unsubscribe/x", shop.api))]
    {
        assert_eq!(shop.request(method, link, &[], "").await.status, 404, "{method} {link}");
    }
    assert_eq!(shop.waiting("forged").await, 1);
}

#[tokio::test]
async fn product_ids_are_decoded_once_and_mean_the_same_in_every_spelling() {
    let shop = shared();
    assert_eq!(shop.ask("sp%65lled%3A1", json!({ "email": "speller@example.com" })).await.status, 201);
    let again = shop.ask("spelled:1", json!({ "email": "speller@example.com" })).await;
    assert_eq!((again.status, &again.json()["productId"]), (200, &json!("spelled:1")));
    shop.stock("spelled%3a1", json!({ "quantity": 1 })).await;
    let mail = shop.only_mail("speller@example.com").await;
    assert!(text(&mail).contains("#product-spelled%3A1"), "{mail:#}");
}
