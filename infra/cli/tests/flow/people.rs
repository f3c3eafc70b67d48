//! The shopper's view: the email, in their language, and the way out.

use serde_json::json;

use crate::support::{header, link_after, shared, text};

#[tokio::test]
async fn a_mail_speaks_the_shoppers_language_and_names_the_product_with_its_link_picture_and_price() {
    let shop = shared();
    let wish = json!({ "email": "jo@example.com", "locale": "de-AT", "name": "Jörg O'Neil" });
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
    for part in ["Guten Tag Jörg O'Neil,", "https://shop.example/kamera?a=1&b=2", "499.00 €"] {
        assert!(text(&mail).contains(part), "{part} is not in {mail:#}");
    }
    let html = mail["Body"]["html_part"].as_str().unwrap();
    for part in [
        "lang=\"de\"",
        "Jörg O",
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
    let link = link_after(&mail, "Unsubscribe from this alert: ").to_owned();
    assert!(link.starts_with(&format!("{}/unsubscribe/", shop.api)), "{link}");
    assert_eq!(header(&mail, "List-Unsubscribe"), format!("<{link}>"));
    assert_eq!(header(&mail, "List-Unsubscribe-Post"), "List-Unsubscribe=One-Click");
    // They ask once more, and then think better of it, with the link of the email they have.
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

    // A shopper who unsubscribed may subscribe again.
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
    let link = link_after(&mail, "alert: ").to_owned();
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

#[tokio::test]
async fn one_address_gets_one_mail_as_a_guest_and_with_any_account() {
    let shop = shared();
    let asks = [
        (json!({ "email": "one@example.com" }), 201),
        (json!({ "email": "one@example.com", "userId": "user-1" }), 200),
        (json!({ "email": "One@EXAMPLE.com", "userId": "user-2" }), 200),
        (json!({ "email": " ONE@example.COM ", "userId": 7 }), 200),
    ];
    for (wish, expected) in asks {
        let answer = shop.ask("one-person", wish.clone()).await;
        assert_eq!(answer.status, expected, "{wish}: {answer:?}");
    }
    assert_eq!(shop.waiting("one-person").await, 1);
    shop.stock("one-person", json!({ "quantity": 5 })).await;
    // The inbox is searched without case: this is the one email to any of the spellings.
    shop.only_mail("one@example.com").await;
}

#[tokio::test]
async fn a_domain_of_another_script_is_mailed_in_its_ascii_form_and_is_one_person_with_it() {
    let shop = shared();
    for (email, status) in [("jo@b\u{fc}cher.example", 201), ("jo@xn--bcher-kva.example", 200)] {
        assert_eq!(shop.ask("umlaut", json!({ "email": email })).await.status, status, "{email}");
    }
    shop.stock("umlaut", json!({ "quantity": 1 })).await;
    shop.only_mail("jo@xn--bcher-kva.example").await;
}

#[tokio::test]
async fn whoever_asks_again_keeps_their_place_their_language_and_their_name() {
    let shop = shared();
    let first = json!({ "email": "again@example.com", "locale": "fr", "name": "Zo\u{e9}" });
    assert_eq!(shop.ask("again", first).await.status, 201);
    let stranger = json!({ "email": "again@example.com", "locale": "de", "name": "Nobody", "userId": "x" });
    assert_eq!(shop.ask("again", stranger).await.status, 200);
    shop.stock("again", json!({ "quantity": 1 })).await;
    let mail = shop.only_mail("again@example.com").await;
    assert!(text(&mail).contains("Bonjour Zo\u{e9},"), "{mail:#}");
}

#[tokio::test]
async fn an_optional_field_that_is_empty_counts_as_none() {
    let shop = shared();
    for (n, field) in ["name", "userId", "locale"].into_iter().enumerate() {
        for (m, empty) in [json!(""), json!(" "), json!(null)].into_iter().enumerate() {
            let answer = shop
                .ask("empty-wishes", json!({ "email": format!("empty{n}{m}@example.com"), field: empty }))
                .await;
            let expected = json!({ "productId": "empty-wishes", "status": "waiting", "inStock": false });
            assert_eq!((answer.status, answer.json()), (201, expected), "{field}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn an_optional_field_that_is_not_understood_is_named_and_keeps_nobody_out() {
    let shop = shared();
    for (n, (field, value)) in [
        ("locale", json!("english")),
        ("locale", json!(5)),
        ("locale", json!([])),
        ("userId", json!({})),
        ("userId", json!("x".repeat(300))),
        ("name", json!(["Jo"])),
        ("name", json!("x".repeat(41))),
        ("name", json!("a\nb")),
    ]
    .into_iter()
    .enumerate()
    {
        let email = format!("odd{n}@example.com");
        let answer = shop.ask("odd-fields", json!({ "email": email, field: value })).await;
        assert_eq!(answer.status, 201, "{field}: {answer:?}");
        let ignored = answer.json()["ignored"].clone();
        assert_eq!(
            (ignored.as_array().unwrap().len(), &ignored[0]["field"]),
            (1, &json!(field)),
            "{ignored:#}"
        );
        for said in ["problem", "accepted"] {
            assert!(ignored[0][said].as_str().is_some_and(|text| text.len() > 3), "{ignored:#}");
        }
    }
    shop.stock("odd-fields", json!({ "quantity": 1 })).await;
    let mail = shop.only_mail("odd0@example.com").await;
    assert_eq!(mail["Subject"], "odd-fields is back in stock");
}

#[tokio::test]
async fn a_locale_is_taken_as_far_as_it_is_understood() {
    let shop = shared();
    let locales = [
        ("de_DE_formal", "ist wieder da"),
        ("fr_FR@euro", "de retour"),
        ("pt_PT_ao90", "is back in stock"),
        ("de-AT-u-co-phonebk", "ist wieder da"),
    ];
    for (n, (locale, _)) in locales.into_iter().enumerate() {
        let wish = json!({ "email": format!("locale{n}@example.com"), "locale": locale });
        assert_eq!(shop.ask("locales", wish).await.status, 201, "{locale}");
    }
    shop.stock("locales", json!({ "quantity": 1 })).await;
    for (n, (locale, subject)) in locales.into_iter().enumerate() {
        let mail = shop.only_mail(&format!("locale{n}@example.com")).await;
        assert!(mail["Subject"].as_str().unwrap().contains(subject), "{locale}: {mail:#}");
    }
}

#[tokio::test]
async fn a_name_with_a_link_is_left_out_of_the_mail_and_the_rest_counts() {
    let shop = shared();
    let names = [
        "Win a prize at https://evil.example/now",
        "CASH http://evil.example",
        "evil.example",
        "see evil.example",
        "jo@evil.example",
        "Jo\nevil.example",
    ];
    for (n, name) in names.into_iter().enumerate() {
        let answer = shop.ask("spam", json!({ "email": format!("spam{n}@example.com"), "name": name })).await;
        assert_eq!((answer.status, &answer.json()["ignored"][0]["field"]), (201, &json!("name")), "{name}");
        assert!(!answer.body.contains("evil"), "it is not repeated: {answer:?}");
    }
    shop.stock("spam", json!({ "quantity": 1 })).await;
    for (n, name) in names.into_iter().enumerate() {
        let mail = shop.only_mail(&format!("spam{n}@example.com")).await;
        assert!(!mail.to_string().contains("evil"), "{name}: {mail:#}");
    }
}

#[tokio::test]
async fn a_product_says_its_stock_and_how_many_wait() {
    let shop = shared();
    let get = async || shop.request("GET", "/products/shown", &[], "").await;
    let nobody_said = json!({ "productId": "shown", "inStock": false, "waiting": 0, "precision": "exact" });
    assert_eq!((get().await.status, get().await.json()), (200, nobody_said));
    shop.subscribe("shown", "shown@example.com").await;
    let answer = get().await;
    assert_eq!(answer.json()["waiting"], 1);
    assert_eq!(answer.header("cache-control"), "public, max-age=5");

    shop.stock("shown", json!({ "quantity": 3 })).await;
    shop.only_mail("shown@example.com").await;
    let expected =
        json!({ "productId": "shown", "inStock": true, "quantity": 3, "waiting": 0, "precision": "exact" });
    assert_eq!(get().await.json(), expected);
    shop.stock("shown", json!({ "quantity": 0 })).await;
    shop.rest().await;
    let known = get().await.json();
    assert_eq!((&known["inStock"], &known["quantity"]), (&json!(false), &json!(0)));
}

#[tokio::test]
async fn the_unsubscribe_pages_speak_the_language_of_the_mail_or_else_of_the_browser() {
    let shop = shared();
    let people = [
        ("en", "Stop notifications for this product?", "Unsubscribe", "You are unsubscribed"),
        ("de-AT", "Benachrichtigungen zu diesem Produkt beenden?", "Abmelden", "Sie sind abgemeldet"),
        (
            "fr",
            "Ne plus recevoir d\u{2019}alertes pour ce produit ?",
            "Se d\u{e9}sabonner",
            "D\u{e9}sabonnement confirm\u{e9}",
        ),
        ("pt-BR", "Stop notifications for this product?", "Unsubscribe", "You are unsubscribed"),
    ];
    for (n, (locale, ..)) in people.into_iter().enumerate() {
        let wish = json!({ "email": format!("page{n}@example.com"), "locale": locale });
        assert_eq!(shop.ask("pages", wish).await.status, 201);
    }
    shop.stock("pages", json!({ "quantity": 1 })).await;
    let browser = [("accept-language", "fr-CH, fr;q=0.9, en;q=0.5")];
    for (n, (locale, question, button, done)) in people.into_iter().enumerate() {
        let mail = shop.only_mail(&format!("page{n}@example.com")).await;
        // The email and its page have one language.
        let html = mail["Body"]["html_part"].as_str().unwrap();
        let language = html.split_once("lang=\"").unwrap().1.split('"').next().unwrap();
        let link = header(&mail, "List-Unsubscribe").trim_matches(['<', '>']);
        let page = shop.request("GET", link, &browser, "").await;
        for part in
            [format!("<html lang=\"{language}\">"), format!("<h1>{question}</h1>"), format!(">{button}<")]
        {
            assert!(page.body.contains(&part), "{locale}: {part} is not in {page:?}");
        }
        assert_eq!(page.header("content-language"), language, "{locale}");
        let page = shop.request("POST", link, &browser, "List-Unsubscribe=One-Click").await;
        for part in [format!("<html lang=\"{language}\">"), format!("<h1>{done}</h1>")] {
            assert!(page.body.contains(&part), "{locale}: {part} is not in {page:?}");
        }
        // Their entry is gone, and with it what was known of their language.
        let page = shop.request("GET", link, &browser, "").await;
        assert!(page.status == 200 && page.body.contains("<html lang=\"fr\">"), "{page:?}");
    }
    let forged = format!("{}/unsubscribe/x", shop.api);
    for (header, language, title) in [
        ("de", "de", "Dieser Abmeldelink ist ung\u{fc}ltig"),
        ("ja", "en", "This unsubscribe link is not valid"),
    ] {
        let page = shop.request("GET", &forged, &[("accept-language", header)], "").await;
        for part in [format!("<html lang=\"{language}\">"), format!("<h1>{title}</h1>")] {
            assert!(page.status == 404 && page.body.contains(&part), "{part} is not in {page:?}");
        }
    }
}
