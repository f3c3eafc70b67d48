//! The page at `/`, used as a person would use it, in a real headless Chromium.
//!
//! Nothing is downloaded: the browser is one that is installed (`CHROMIUM` names it, else the usual names are tried).
//! With `SCREENSHOTS=DIR` the last test leaves pictures of the page there.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

#[path = "page/alerts.rs"]
mod alerts;
#[path = "page/browser.rs"]
mod browser;
#[path = "page/system.rs"]
mod system;

use std::collections::HashSet;

use browser::Browser;
use serde_json::json;
use system::System;

/// The iPhone is sold out when the page is opened for the first time.
const EMAIL: &str = "#product-iphone15 input[name=email]";
const STATUS: &str = "document.querySelector('#product-iphone15 .status').textContent";

/// Presses Tab until this is focused; fails when the whole page was passed without meeting it.
async fn tab_to(browser: &Browser, selector: &str) {
    for _ in 0..80 {
        browser.press("Tab").await;
        if browser.is(&format!("document.activeElement.matches({})", json!(selector))).await {
            return;
        }
    }
    panic!("{selector} can't be reached with the Tab key");
}

async fn subscribe_with_keys(browser: &Browser, email: &str) {
    tab_to(browser, EMAIL).await;
    browser.type_text(email).await;
    browser.press("Enter").await;
}

#[tokio::test]
async fn a_shopper_subscribes_with_the_keyboard_alone() {
    let system = System::start().await;
    let browser = Browser::open(&system.origin).await;

    tab_to(&browser, EMAIL).await;
    browser.type_text("ann@example.com").await;
    browser.press("Tab").await;
    assert!(browser.is("document.activeElement.matches('#product-iphone15 summary')").await);
    browser.press("Enter").await;
    browser.press("Tab").await;
    browser.type_text("Ann").await;
    browser.press("Tab").await;
    browser.type_text("Deutsch").await;
    assert!(
        browser.is("document.activeElement.value === 'de'").await,
        "the language is chosen by its first letters"
    );
    browser.press("Tab").await;
    assert!(browser.is("document.activeElement.matches('#product-iphone15 button')").await);
    browser.press("Enter").await;

    browser.until(&format!("{STATUS} !== ''")).await;
    let waiting =
        "document.querySelector('#product-iphone15 .availability').textContent.includes('1 waiting')";
    browser.until(waiting).await;
    browser.close().await;
    system.stop().await;
}

#[tokio::test]
async fn a_problem_is_shown_beside_the_field_it_names_and_read_out_with_it() {
    let system = System::start().await;
    let browser = Browser::open(&system.origin).await;

    subscribe_with_keys(&browser, "not-an-address").await;

    browser.until(&format!("document.querySelector('{EMAIL}').ariaInvalid === 'true'")).await;
    assert!(browser.is(&format!("document.activeElement === document.querySelector('{EMAIL}')")).await);
    let described = browser
        .node(|node| node.role == "textbox" && node.focused)
        .await
        .expect("the focused field")
        .description;
    assert!(described.len() > 10, "the problem is the field's description: {described:?}");
    let beside = format!(
        "(() => {{ const field = document.querySelector('{EMAIL}').getBoundingClientRect();
            const problem = document.querySelector('#product-iphone15 .problem:not([hidden])').getBoundingClientRect();
            return problem.top - field.bottom; }})()"
    );
    let gap = browser.number(&beside).await;
    assert!((0.0..24.0).contains(&gap), "the problem stands {gap} px below its field");

    // Put right, it goes.
    for _ in 0.."not-an-address".len() {
        browser.press("Backspace").await;
    }
    browser.type_text("ann@example.com").await;
    browser.press("Enter").await;
    browser.until(&format!("{STATUS} !== ''")).await;
    assert!(browser.is("document.querySelector('#product-iphone15 .problem:not([hidden])') === null").await);
    assert!(browser.is(&format!("!document.querySelector('{EMAIL}').hasAttribute('aria-invalid')")).await);
    browser.close().await;
    system.stop().await;
}

#[tokio::test]
async fn a_name_that_is_left_out_is_said_beside_its_field_and_the_shopper_waits() {
    let system = System::start().await;
    let browser = Browser::open(&system.origin).await;
    let name = "#product-iphone15 input[name=name]";
    browser.run("document.querySelector('#product-iphone15 details').open = true").await;
    browser.focus(name).await;
    browser.type_text("evil.example").await;
    browser.focus(EMAIL).await;
    browser.type_text("ann@example.com").await;
    browser.press("Enter").await;

    browser.until(&format!("{STATUS}.startsWith('You are on the list')")).await;
    let problem = "document.querySelector('#product-iphone15 .problem[data-field=name]')";
    browser.until(&format!("!{problem}.hidden")).await;
    assert!(browser.is(&format!("{problem}.textContent.startsWith('Left out, because it')")).await);
    assert!(browser.is(&format!("document.querySelector('{name}').ariaInvalid !== 'true'")).await);
    browser.close().await;
    system.stop().await;
}

#[tokio::test]
async fn the_stock_switch_puts_a_product_back_and_takes_it_out_again() {
    let system = System::start().await;
    let browser = Browser::open(&system.origin).await;
    let switch = "#stock [role=switch][aria-label='iPhone 15 in stock']";
    let checked = |state: bool| format!("document.querySelector(\"{switch}\").ariaChecked === '{state}'");
    assert!(browser.is(&checked(false)).await);

    browser.click(switch).await;
    browser.until(&checked(true)).await;
    browser
        .until("document.querySelector('#stock-status').textContent.includes('iPhone 15: 10 in stock')")
        .await;
    assert!(browser.is("document.querySelector('#product-iphone15 form').hidden").await);
    assert!(
        browser
            .is("document.querySelector('#product-iphone15 .availability').textContent.includes('In stock')")
            .await
    );

    browser.reload().await;
    browser.until(&checked(true)).await;
    assert!(
        browser.is("sessionStorage.length === 0 && localStorage.length === 0").await,
        "it is what the API says, and nothing that the page keeps"
    );

    browser.focus(switch).await;
    browser.press(" ").await;
    browser.until(&checked(false)).await;
    assert!(browser.is("!document.querySelector('#product-iphone15 form').hidden").await);
    browser.close().await;
    system.stop().await;
}

#[tokio::test]
async fn stock_and_waiting_that_are_changed_elsewhere_appear_without_a_reload() {
    let system = System::start().await;
    let browser = Browser::open(&system.origin).await;
    browser.run("window.neverReloaded = true").await;
    let says = |product: &str, text: &str| {
        let availability = format!("document.querySelector('#product-{product} .availability').textContent");
        format!("{availability} === '{text}'")
    };
    browser.until(&says("moka-pot", "In stock, 12 left")).await;

    system.subscribe("headphones", "ann@example.com").await;
    browser.until(&says("headphones", "Sold out · 1 waiting")).await;

    for (product, update, text) in [
        ("iphone15", json!({ "quantity": 7 }), "In stock, 7 left"),
        ("moka-pot", json!({ "quantity": 0 }), "Sold out"),
        ("iphone15", json!({ "quantity": 3 }), "In stock, 3 left"),
    ] {
        system.stock(product, &update).await;
        browser.until(&says(product, text)).await;
    }
    let row =
        |product: &str| format!("document.querySelector(\"[aria-label='{product} in stock']\").ariaChecked");
    assert!(browser.is(&format!("{} === 'true'", row("iPhone 15"))).await);
    assert!(browser.is(&format!("{} === 'false'", row("Moka pot"))).await);
    assert!(browser.is("document.querySelector('#product-iphone15 form').hidden").await);
    assert!(browser.is("!document.querySelector('#product-moka-pot form').hidden").await);
    assert!(browser.is("window.neverReloaded === true").await);
    browser.close().await;
    system.stop().await;
}

#[tokio::test]
async fn a_mail_arrives_without_a_reload_and_opens_as_it_would_look() {
    let system = System::start().await;
    let browser = Browser::open(&system.origin).await;
    browser.until("document.querySelector('#connection').dataset.state === 'live'").await;
    browser.run("window.neverReloaded = true").await;
    subscribe_with_keys(&browser, "ann@example.com").await;
    browser.until(&format!("{STATUS} !== ''")).await;

    browser.click("#stock [role=switch][aria-label='iPhone 15 in stock']").await;

    browser.until("document.querySelectorAll('#mails li').length === 1").await;
    assert!(browser.is("window.neverReloaded === true").await);
    browser.until("document.querySelector('#announcer').textContent.includes('ann@example.com')").await;
    let mail = system.messages().await.remove(0);
    let (subject, html) = (mail["Subject"].as_str().unwrap(), mail["Body"]["html_part"].as_str().unwrap());
    assert!(
        browser
            .is(&format!("document.querySelector('#mails .subject').textContent === {}", json!(subject)))
            .await
    );

    browser.focus("#mails button").await;
    browser.press("Enter").await;
    browser.until("document.querySelector('#mail').open").await;
    assert!(
        browser
            .is(&format!("document.querySelector('#mail-subject').textContent === {}", json!(subject)))
            .await
    );
    assert!(browser.is("document.querySelector('#mail-to').textContent === 'ann@example.com'").await);
    assert!(
        browser.is(&format!("document.querySelector('#mail-html').srcdoc.endsWith({})", json!(html))).await
    );
    let link = browser.node_in_frames(|node| node.role == "link" && !node.name.is_empty()).await;
    assert!(link.is_some(), "the mail's link is on the screen, as a link");

    browser.click("#mail [data-view=headers]").await;
    assert!(
        browser.is("document.querySelector('#mail-headers').textContent.includes('List-Unsubscribe')").await
    );
    browser.click("#mail [data-view=text]").await;
    let text = json!(mail["Body"]["text_part"]);
    assert!(browser.is(&format!("document.querySelector('#mail-text').textContent === {text}")).await);

    browser.press("Escape").await;
    browser.until("!document.querySelector('#mail').open").await;
    assert!(
        browser.is("document.activeElement.matches('#mails button')").await,
        "the focus goes back to the list"
    );
    browser.close().await;
    system.stop().await;
}

#[tokio::test]
async fn a_mail_with_a_script_shows_its_text_and_runs_nothing() {
    let system = System::start().await;
    let browser = Browser::open(&system.origin).await;
    let html = "<script>top.document.title = 'taken'</script><img src=x onerror=\"top.document.title = 'taken'\">\
        <a href=\"javascript:top.document.title='taken'\">bait</a><p>harmless</p>";
    system.send("eve@example.com", "<img src=x onerror=document.title='taken'>", html).await;

    browser.until("document.querySelectorAll('#mails li').length === 1").await;
    browser.click("#mails button").await;
    browser.until("document.querySelector('#mail').open").await;

    assert!(browser.node_in_frames(|node| node.name == "harmless").await.is_some());
    assert!(browser.is("document.querySelector('#mail-subject').textContent.startsWith('<img')").await);
    assert!(browser.is("document.title.startsWith('Notify Me')").await);
    browser.close().await;
    system.stop().await;
}

#[tokio::test]
async fn without_server_sent_events_the_inbox_is_polled() {
    let system = System::start().await;
    let browser = Browser::open_with(&system.origin, "delete window.EventSource").await;
    browser.until("document.querySelector('#connection').dataset.state === 'polling'").await;
    system.send("ann@example.com", "Polled", "<p>Hello</p>").await;
    browser.until("document.querySelector('#mails .subject')?.textContent === 'Polled'").await;
    browser.close().await;
    system.stop().await;
}

#[tokio::test]
async fn a_fan_out_of_thousands_leaves_the_newest_hundred_in_order() {
    let system = System::start().await;
    let browser = Browser::open(&system.origin).await;
    browser.until("document.querySelector('#connection').dataset.state === 'live'").await;
    for call in 0..40 {
        system.send_many(call, 50).await;
    }
    let last = system.messages().await.last().unwrap()["Id"].as_str().unwrap().to_owned();
    browser.until(&format!("document.querySelector('#mails li')?.dataset.id === '{last}'")).await;
    let ids = "[...document.querySelectorAll('#mails li')].map((item) => item.dataset.id)";
    assert!(browser.is(&format!("{ids}.length === 100")).await);
    assert!(browser.is(&format!("{ids}.join() === {ids}.sort().reverse().join()")).await);
    browser.close().await;
    system.stop().await;
}

#[tokio::test]
async fn a_screen_reader_meets_landmarks_headings_and_named_controls() {
    let system = System::start().await;
    let browser = Browser::open(&system.origin).await;
    system.send("ann@example.com", "Hello", "<p>Hello</p>").await;
    browser.until("document.querySelectorAll('#mails li').length === 1").await;
    browser.run("for (const details of document.querySelectorAll('details')) details.open = true").await;
    let nodes = browser.nodes().await;

    let named = |role: &str| {
        nodes.iter().filter(|node| node.role == role).map(|node| node.name.as_str()).collect::<Vec<_>>()
    };
    for landmark in ["banner", "main", "contentinfo"] {
        assert_eq!(named(landmark).len(), 1, "one {landmark}");
    }
    assert_eq!(named("navigation"), ["Sections"]);
    assert_eq!(named("region"), ["Sold out? We’ll tell you.", "Inventory", "Inbox"]);
    assert_eq!(named("switch").len(), 6);
    assert_eq!(named("spinbutton").len(), 6);
    assert!(named("textbox").contains(&"Email for iPhone 15"));
    assert!(named("status").len() >= 3, "what changes is said");

    let controls =
        ["button", "textbox", "combobox", "spinbutton", "switch", "link", "DisclosureTriangle", "checkbox"];
    for node in nodes.iter().filter(|node| node.focusable || controls.contains(&node.role.as_str())) {
        assert!(!node.name.trim().is_empty(), "no name: {node:?}");
    }
    // Two controls of one kind and one name can't be told apart out of their place.
    let mut seen = HashSet::new();
    for node in nodes.iter().filter(|node| {
        ["button", "textbox", "combobox", "switch", "spinbutton"].contains(&node.role.as_str())
    }) {
        assert!(
            seen.insert((node.role.clone(), node.name.clone())),
            "two {} named {:?}",
            node.role,
            node.name
        );
    }
    let levels: Vec<i64> =
        nodes.iter().filter(|node| node.role == "heading").map(|node| node.level).collect();
    assert_eq!(levels[0], 1);
    assert!(levels[1..].iter().all(|level| *level == 2), "no level is skipped: {levels:?}");
    assert!(browser.is("document.documentElement.lang === 'en'").await);
    let ids = "[...document.querySelectorAll('[id]')].map((element) => element.id)";
    assert!(browser.is(&format!("new Set({ids}).size === {ids}.length")).await, "every id is there once");
    browser.close().await;
    system.stop().await;
}

#[tokio::test]
async fn the_focus_goes_through_the_page_in_reading_order_and_is_seen_everywhere() {
    let system = System::start().await;
    let browser = Browser::open(&system.origin).await;
    system.send("ann@example.com", "Hello", "<p>Hello</p>").await;
    browser.until("document.querySelectorAll('#mails li').length === 1").await;
    browser.run("window.visited = []").await;
    let step = "(() => { const now = document.activeElement;
        if (now === document.body || window.visited.includes(now)) return { done: true };
        const before = window.visited.at(-1);
        window.visited.push(now);
        const style = getComputedStyle(now);
        return {
          done: false,
          what: now.outerHTML.slice(0, 90),
          inOrder: !before || Boolean(before.compareDocumentPosition(now) & Node.DOCUMENT_POSITION_FOLLOWING),
          seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
        }; })()";
    let mut stops = 0;
    loop {
        browser.press("Tab").await;
        let stop = browser.value(step).await;
        if stop["done"] == true {
            break;
        }
        stops += 1;
        assert_eq!(stop["inOrder"], true, "{}", stop["what"]);
        assert_eq!(stop["seen"], true, "no outline on {}", stop["what"]);
        assert!(stops < 100, "the focus never comes round");
    }
    // Skip link, three sections, three forms with two stops and a button, six rows with two, one email.
    assert_eq!(stops, 4 + 9 + 12 + 1);
    browser.close().await;
    system.stop().await;
}

#[tokio::test]
async fn text_has_the_contrast_that_wcag_aa_asks_for_in_light_and_dark() {
    let system = System::start().await;
    let browser = Browser::open(&system.origin).await;
    system.send("bounce@simulator.amazonses.com", "Hello", "<p>Hello</p>").await;
    browser.until("document.querySelectorAll('#mails li').length === 1").await;
    subscribe_with_keys(&browser, "not-an-address").await;
    browser.until("document.querySelector('#product-iphone15 .problem:not([hidden])') !== null").await;
    let poor = include_str!("page/contrast.js");
    for scheme in ["light", "dark"] {
        browser.scheme(scheme).await;
        let found = browser.value(poor).await;
        assert!(found["checked"].as_u64().unwrap() > 40, "looked at {found}");
        assert_eq!(found["poor"], json!([]), "in {scheme}");
    }
    browser.click("#mails button").await;
    browser.until("document.querySelector('#mail').open").await;
    for scheme in ["light", "dark"] {
        browser.scheme(scheme).await;
        assert_eq!(browser.value(poor).await["poor"], json!([]), "with a mail open, in {scheme}");
    }
    browser.close().await;
    system.stop().await;
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere_and_its_policy_says_so() {
    let system = System::start().await;
    let answer = system.page().await;
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");

    let violations = "window.violations = [];
        addEventListener('securitypolicyviolation', (event) => window.violations.push(event.violatedDirective));
        addEventListener('error', (event) => window.violations.push(String(event.message)), true)";
    let browser = Browser::open_with(&system.origin, violations).await;
    browser.until("document.querySelectorAll('.product').length === 6").await;
    browser.until("[...document.images].every((image) => image.complete && image.naturalWidth > 0)").await;
    assert_eq!(browser.value("window.violations").await, json!([]));
    let loaded = browser.value("performance.getEntriesByType('resource').map((entry) => entry.name)").await;
    let loaded: Vec<&str> = loaded.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(loaded.len() > 8, "{loaded:?}");
    assert!(loaded.iter().all(|name| name.starts_with(&system.origin)), "{loaded:?}");
    browser.close().await;
    system.stop().await;
}

#[tokio::test]
async fn it_fits_a_narrow_screen_and_stands_still_when_asked_to() {
    let system = System::start().await;
    let browser = Browser::open(&system.origin).await;
    system
        .send(
            "a.very.long.address.of.a.very.patient.shopper@subdomain.example.com",
            &"word ".repeat(40),
            "<p>Hello</p>",
        )
        .await;
    browser.until("document.querySelectorAll('#mails li').length === 1").await;
    for width in [320, 390, 768, 1280] {
        browser.size(width, 800).await;
        let overflow = browser
            .number("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            .await;
        assert!(overflow <= 0.0, "{overflow} px too wide at {width}");
    }
    browser.feature("prefers-reduced-motion", "reduce").await;
    let moving = "[...document.querySelectorAll('*')].filter((element) => {
        const style = getComputedStyle(element);
        return style.animationName !== 'none' || style.transitionDuration !== '0s' || style.scrollBehavior === 'smooth';
    }).length";
    assert!(browser.number(moving).await.abs() < f64::EPSILON);
    browser.close().await;
    system.stop().await;
}

#[tokio::test]
async fn a_shopper_confirms_by_the_link_in_the_email_with_the_keyboard_alone() {
    let system = System::start_with(&[("CONFIRMATION", "all")]).await;
    let browser = Browser::open(&system.origin).await;
    subscribe_with_keys(&browser, "ann@example.com").await;
    browser.until(&format!("{STATUS}.startsWith('Check your inbox')")).await;
    browser.until("document.querySelectorAll('#mails li').length === 1").await;
    let mail = system.messages().await.remove(0);
    let text = mail["Body"]["text_part"].as_str().unwrap();
    let link = text.split_whitespace().find(|word| word.contains("/confirm/")).unwrap();

    browser.goto(link).await;
    browser.arrived("document.querySelector('main h1')?.textContent === 'Confirm your alert?'").await;
    assert!(browser.is("document.documentElement.lang === 'en'").await);
    let nodes = browser.nodes().await;
    let named = |role: &str| {
        nodes.iter().filter(|node| node.role == role).map(|node| node.name.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(named("main").len(), 1);
    assert_eq!(named("button"), ["Confirm"]);
    let poor = include_str!("page/contrast.js");
    for scheme in ["light", "dark"] {
        browser.scheme(scheme).await;
        assert_eq!(browser.value(poor).await["poor"], json!([]), "in {scheme}");
    }
    browser.press("Tab").await;
    assert!(browser.is("document.activeElement.matches('button')").await);
    browser.press("Enter").await;
    browser.arrived("document.querySelector('main h1')?.textContent === 'You are on the list'").await;
    assert!(browser.is("document.querySelector('form') === null").await);
    browser.goto(&system.origin).await;
    let availability = "document.querySelector('#product-iphone15 .availability')?.textContent";
    browser.arrived(&format!("{availability} === 'Sold out · 1 waiting'")).await;
    browser.close().await;
    system.stop().await;
}

#[tokio::test]
async fn a_held_restock_shows_its_rules_and_is_released_with_the_keyboard_wave_by_wave() {
    let system = System::start_as(&["--sweep", "1"], &[]).await;
    for n in 1..=3 {
        system.subscribe("headphones", &format!("shopper{n}@example.com")).await;
    }
    let rules = json!({ "release": "manual", "waveSize": 2, "waveEvery": 3 });
    system.stock("headphones", &json!({ "quantity": 5, "rules": rules })).await;
    let browser = Browser::open(&system.origin).await;
    let row =
        "[...document.querySelectorAll('#stock li')].find((row) => row.textContent.includes('Headphones'))";
    let coming = format!("{row}?.querySelector('.coming')");
    let release = format!("{row}.querySelector('.release')");
    browser
        .until(&format!(
            "{coming}?.textContent === 'Rules: waves of 2, every 3 s, released by hand · Held until it is released'"
        ))
        .await;
    assert!(browser.is(&format!("!{release}.hidden && !{coming}.hidden")).await);
    assert!(
        browser
            .node(|node| node.role == "button" && node.name == "Release Headphones to its subscribers")
            .await
            .is_some()
    );
    assert!(browser.is("document.querySelectorAll('#stock .release:not([hidden])').length === 1").await);
    let poor = include_str!("page/contrast.js");
    for scheme in ["light", "dark"] {
        browser.scheme(scheme).await;
        assert_eq!(browser.value(poor).await["poor"], json!([]), "in {scheme}");
    }
    assert!(system.messages().await.is_empty(), "it is held");

    tab_to(&browser, ".release").await;
    browser.press("Enter").await;
    browser
        .until("document.querySelector('#stock-status').textContent.startsWith('Headphones: released')")
        .await;
    browser.until(&format!("{release}.hidden")).await;
    browser.until(&format!("{coming}.textContent.includes('Wave 1')")).await;
    browser.until("document.querySelectorAll('#mails li').length === 2").await;
    browser.until(&format!("{coming}.textContent.includes('Next wave')")).await;
    browser.until("document.querySelectorAll('#mails li').length === 3").await;
    browser.until(&format!("{coming}.textContent.includes('Wave 2')")).await;
    browser.close().await;
    system.stop().await;
}

#[tokio::test]
async fn the_link_of_a_mail_leads_to_its_product() {
    let system = System::start().await;
    let browser = Browser::open(&format!("{}/#product-city-bike", system.origin)).await;
    browser.until("document.activeElement.id === 'product-city-bike'").await;
    assert!(browser.is("document.querySelector('#product-city-bike').matches(':target')").await);
    browser.close().await;
    system.stop().await;
}

#[tokio::test]
async fn the_page_can_be_looked_at_in_light_in_dark_and_on_a_narrow_screen() {
    let system = System::start().await;
    let browser = Browser::open(&system.origin).await;
    subscribe_with_keys(&browser, "ann@example.com").await;
    browser.until(&format!("{STATUS} !== ''")).await;
    let folder = std::env::var_os("SCREENSHOTS").map(std::path::PathBuf::from);
    let mut sizes = Vec::new();
    for (name, scheme, width) in [
        ("light", "light", 1360),
        ("dark", "dark", 1360),
        ("narrow", "light", 390),
        ("narrow-dark", "dark", 390),
    ] {
        browser.scheme(scheme).await;
        browser.size(width, 900).await;
        if name == "dark" {
            browser.click("#stock [role=switch][aria-label='iPhone 15 in stock']").await;
            browser.until("document.querySelectorAll('#mails li').length === 1").await;
        }
        let picture = browser.screenshot(true).await;
        sizes.push(picture.len());
        if let Some(folder) = &folder {
            std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
        }
    }
    for (name, scheme, width) in [("mail", "light", 1360), ("mail-narrow-dark", "dark", 390)] {
        browser.scheme(scheme).await;
        browser.size(width, 900).await;
        browser
            .run("document.querySelector('#mail').open || document.querySelector('#mails button').click()")
            .await;
        browser.until("document.querySelector('#mail').open").await;
        assert!(browser.node_in_frames(|node| node.role == "link").await.is_some());
        let picture = browser.screenshot(false).await;
        sizes.push(picture.len());
        if let Some(folder) = &folder {
            std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
        }
    }
    assert!(sizes.iter().all(|bytes| *bytes > 20_000), "a picture of nothing is small: {sizes:?}");
    browser.close().await;
    system.stop().await;
}
