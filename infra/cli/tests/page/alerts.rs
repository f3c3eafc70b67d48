//! The page of a person's alerts, from the form that asks for its link to the end of everything, with the keyboard alone.

use serde_json::{Value, json};

use super::browser::Browser;
use super::system::System;
use super::tab_to;

async fn go(browser: &Browser, url: &str, heading: &str) {
    browser.go(url).await;
    headed(browser, heading).await;
}

/// Waits for a page with this heading, and looks at what every page must have.
async fn headed(browser: &Browser, heading: &str) {
    browser
        .arrives(&format!("document.querySelector('main > h1')?.textContent === {}", json!(heading)))
        .await;
    for must in [
        "document.documentElement.lang === 'en'",
        "document.title === document.querySelector('h1').textContent",
        "document.querySelectorAll('h1').length === 1 && document.querySelectorAll('main').length === 1",
        "[...document.querySelectorAll('input:not([type=hidden])')].every((field) => field.labels.length === 1)",
        "document.documentElement.scrollWidth <= innerWidth",
    ] {
        assert!(browser.is(must).await, "{heading}: {must}");
    }
    // In the dark the page has the browser's own colours, of which the script knows no background.
    browser.scheme("light").await;
    let found = browser.value(include_str!("contrast.js")).await;
    assert_eq!(found["poor"], json!([]), "{heading}");
}

#[tokio::test]
async fn a_person_finds_their_alerts_ends_one_and_erases_everything_with_the_keyboard_alone() {
    let system = System::start().await;
    for product in ["iphone15", "moka-pot"] {
        system.subscribe(product, "ann@example.com").await;
    }
    let browser = Browser::open(&system.origin).await;
    go(&browser, &format!("{}/alerts/new", system.origin), "This link is not valid").await;
    tab_to(&browser, "#email").await;
    browser.type_text("ann@example.com").await;
    browser.press("Enter").await;
    headed(&browser, "Look into your inbox").await;

    let messages = system.messages().await;
    let text = messages.last().and_then(|mail| mail["Body"]["text_part"].as_str()).unwrap_or_default();
    let (_, rest) = text.split_once("See my alerts:\n").unwrap();
    go(&browser, rest.lines().next().unwrap(), "Your alerts").await;
    assert_eq!(browser.value("document.querySelectorAll('li').length").await, json!(2));
    let button = browser.node(|node| node.role == "button" && node.name == "End this alert: iphone15").await;
    assert!(button.is_some(), "a button is named by what it ends");

    tab_to(&browser, "button[aria-label='End this alert: iphone15']").await;
    browser.press("Enter").await;
    browser
        .arrives(
            "document.querySelector('[role=status]')?.textContent === 'The alert for iphone15 has ended.'",
        )
        .await;
    assert_eq!(browser.value("document.querySelectorAll('li').length").await, json!(1));
    headed(&browser, "Your alerts").await;

    let rest: Value = browser.value("[...document.querySelectorAll('button')].at(-1).textContent").await;
    assert_eq!(rest, json!("Erase my data"));
    tab_to(&browser, "form[action$='/erase'] button").await;
    browser.press("Enter").await;
    headed(&browser, "Erase your data?").await;
    tab_to(&browser, "form[method=post] button").await;
    browser.press("Enter").await;
    headed(&browser, "Your data is erased").await;
    browser.close().await;
    system.stop().await;
}
