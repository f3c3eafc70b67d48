#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;

fn shop() -> Shop {
    Shop {
        name: "Corner & Shop".to_owned(),
        address: Some("1 High Street & Co, Springfield".to_owned()),
        product_url: "https://shop.example/p/{productId}".to_owned(),
        unsubscribe_url: String::new(),
        alerts_url: String::new(),
    }
}

/// What SES makes of the layout: its variables without escaping, the recipient's values first.
fn rendered(
    part: fn(Layout) -> String,
    offer: &Offer,
    locale: &str,
    name: Option<&str>,
    shared: &str,
) -> String {
    let (locale, shared) = (Locale::parse(locale).unwrap(), Locale::parse(shared).unwrap());
    let recipient = Recipient {
        locale: &locale,
        name,
        unsubscribe_url: "https://shop.example/unsubscribe/t0ken",
        alerts_url: "https://shop.example/alerts/t0ken?a=1&b=2",
    };
    let mut data = shared_data(offer, &shop(), &shared);
    data.extend(recipient_data(offer, &shop(), &recipient, &shared));
    let mut engine = handlebars::Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(handlebars::no_escape);
    engine.render_template(&part(Layout::of(offer, &shop())), &data).unwrap()
}

fn offer(name: &str) -> Offer {
    let info = ProductInfo {
        name: Some(name.to_owned()),
        url: Some("https://shop.example/p/iphone15?a=1&b=2".to_owned()),
        image_url: Some("https://shop.example/i.png".to_owned()),
        price: Some("999.00 €".to_owned()),
    };
    Offer::new(&ProductId::parse("iphone15").unwrap(), Some(&info), &shop())
}

#[test]
fn the_text_of_a_mail_in_each_language() {
    for (locale, name) in [("en", Some("Jo")), ("de-AT", None), ("fr", Some("Zoé")), ("pt", None)] {
        let subject = rendered(|layout| layout.subject.to_owned(), &offer("iPhone 15"), locale, name, "en");
        let text = rendered(|layout| layout.text, &offer("iPhone 15"), locale, name, "en");
        insta::assert_snapshot!(format!("mail_{locale}"), format!("Subject: {subject}\n\n{text}"));
    }
}

#[test]
fn a_mail_says_what_can_be_sold_in_its_subject_and_in_both_parts() {
    let kinds =
        [Availability::InStock, Availability::FewLeft, Availability::Backorder, Availability::Preorder];
    let mut said = String::new();
    for locale in ["en", "de", "fr"] {
        for kind in kinds {
            let offer = offer("Lamp").available(kind);
            // In their own language, whatever the call's is.
            for shared in ["en", "de", "fr"] {
                let subject = rendered(|layout| layout.subject.to_owned(), &offer, locale, None, shared);
                let text = rendered(|layout| layout.text, &offer, locale, None, shared);
                let html = rendered(|layout| layout.html, &offer, locale, None, shared);
                let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
                let news = lines[1];
                assert!(html.contains(&escaped(news)), "{news} is not in {html}");
                if shared == "en" {
                    said.push_str(&format!("{locale} {kind:?}: {subject}\n  {news}\n"));
                }
            }
        }
    }
    assert_eq!(offer("Lamp"), offer("Lamp").available(Availability::InStock));
    insta::assert_snapshot!(said);
}

#[test]
fn the_html_of_a_mail() {
    insta::assert_snapshot!(rendered(|layout| layout.html, &offer("iPhone 15"), "en", Some("Jo"), "en"));
}

#[test]
fn script_in_a_name_stays_text_and_placeholders_in_names_stay_as_they_are() {
    let nasty = "<script>alert('{shop}')</script> {{subject}}";
    let html = rendered(|layout| layout.html, &offer(nasty), "de", Some("<script>\"x\"</script>"), "en");
    assert!(!html.contains("<script"), "{html}");
    assert!(html.contains("&lt;script&gt;alert(&#39;{shop}&#39;)&lt;/script&gt; {{subject}}"), "{html}");
    assert!(html.contains("&lt;script&gt;&quot;x&quot;&lt;/script&gt;"), "{html}");
    let text = rendered(|layout| layout.text, &offer(nasty), "en", None, "en");
    assert!(text.contains(nasty), "{text}");
}

#[test]
fn a_recipient_reads_their_own_language_whatever_the_calls_is() {
    for shared in ["en", "de", "fr"] {
        let text = rendered(|layout| layout.subject.to_owned(), &offer("X"), "de", None, shared);
        assert_eq!(text, "X ist wieder da");
    }
}

#[test]
fn a_layout_has_nothing_but_simple_substitutions_whatever_is_known() {
    let details = |image: bool, price: bool| {
        let text = |there: bool, text: &str| there.then(|| text.to_owned());
        let info = ProductInfo {
            image_url: text(image, "https://shop.example/i.png"),
            price: text(price, "1 €"),
            ..ProductInfo::default()
        };
        Offer::new(&ProductId::parse("p").unwrap(), Some(&info), &shop())
    };
    for (image, price) in [(false, false), (false, true), (true, false), (true, true)] {
        let layout = Layout::of(&details(image, price), &shop());
        assert_eq!((layout.html.contains("<img"), layout.html.contains("{{priceHtml}}")), (image, price));
        assert_eq!(layout.text.contains("{{price}}"), price);
        for part in [layout.subject.to_owned(), layout.text, layout.html] {
            for place in ["%price%", "%image%", "%address%"] {
                assert!(!part.contains(place), "{part}");
            }
            for name in part.split("{{").skip(1) {
                let (name, _) = name.split_once("}}").unwrap();
                assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "{name}");
            }
        }
    }
}

#[test]
fn without_details_the_mail_has_the_id_and_the_shops_link() {
    let offer = Offer::new(&ProductId::parse("a+b:c").unwrap(), None, &shop());
    let html = rendered(|layout| layout.html, &offer, "en", None, "en");
    assert!(html.contains("https://shop.example/p/a%2Bb%3Ac"), "{html}");
    assert!(html.contains("a+b:c is back in stock"), "{html}");
    assert!(!html.contains("<img"), "{html}");
}

#[test]
fn the_postal_address_is_at_the_foot_where_the_shop_has_given_one() {
    for address in [None, Some("1 <High> Street".to_owned())] {
        let shop = Shop { address: address.clone(), ..shop() };
        let layout = Layout::of(&offer("X"), &shop);
        let data = shared_data(&offer("X"), &shop, &Locale::default());
        assert_eq!(layout.text.contains("{{shopAddress}}"), address.is_some());
        assert_eq!(layout.html.contains("{{shopAddressHtml}}"), address.is_some());
        assert_eq!(data.get("shopAddress").and_then(Value::as_str), address.as_deref());
        let escaped = address.map(|_| "1 &lt;High&gt; Street");
        assert_eq!(data.get("shopAddressHtml").and_then(Value::as_str), escaped);
    }
}
