//! The functions' settings, as their crates list them: which of them a person may set here, and the tests that hold
//! `template.yaml` and `docs/configuration.md` to them.

use domain::setting::Setting;
use lambda_host::{FEEDBACK, NOTIFY, RESTOCK, SUBSCRIBE};

/// What this program chooses itself, because it has to fit the parts that it starts, and what only an SES of AWS knows.
const CHOSEN_HERE: [&str; 3] = ["TABLE_NAME", "REPORT_BATCH_ITEM_FAILURES", "SES_CONFIGURATION_SET"];

/// Each function with its own settings. Those of logging and, but for `subscribe` and `feedback`, of Kafka come to them.
const TABLES: [(&str, &[Setting]); 4] = [
    (SUBSCRIBE, subscribe::SETTINGS),
    (RESTOCK, restock::SETTINGS),
    (NOTIFY, notify::SETTINGS),
    (FEEDBACK, feedback::SETTINGS),
];

/// Whether this is a setting that the operator of the local system is free to set.
pub(super) fn are_free(name: &str) -> bool {
    let known = |(_, table): &(&str, &[Setting])| table.iter().any(|setting| setting.name == name);
    !CHOSEN_HERE.contains(&name) && TABLES.iter().any(known)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::fmt::Write as _;
    use std::path::Path;
    use std::time::Duration;

    use domain::setting::Fallback;
    use serde_yaml_ng::Value;

    use super::*;

    /// What the template sets beside the functions' settings: what the SDK reads.
    const OF_THE_SDK: [&str; 2] = ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SESV2"];

    /// All settings of a function.
    fn all(function: &str) -> Vec<Setting> {
        let (_, own) = TABLES.into_iter().find(|(name, _)| *name == function).unwrap();
        let kafka = if [SUBSCRIBE, FEEDBACK].contains(&function) { &[] } else { kafka::SETTINGS };
        [own, kafka, lambda::logs::SETTINGS].concat()
    }

    fn names(settings: &[Setting]) -> BTreeSet<String> {
        settings.iter().map(|setting| setting.name.to_owned()).collect()
    }

    /// The names that a function looks up as it starts.
    fn read(function: &str) -> BTreeSet<String> {
        let read = RefCell::new(BTreeSet::new());
        let lookup = |name: &str| {
            read.borrow_mut().insert(name.to_owned());
            None
        };
        let refused = match function {
            SUBSCRIBE => subscribe::Config::read(&lookup).is_err(),
            RESTOCK => restock::Config::read(&lookup).is_err(),
            FEEDBACK => feedback::Config::read(&lookup).is_err(),
            _ => notify::Config::read(&lookup).is_err(),
        };
        assert!(refused, "{function} starts without a setting");
        read.into_inner()
    }

    #[test]
    fn each_function_reads_the_settings_that_it_lists_and_no_others() {
        for (function, _) in TABLES {
            let mut listed = names(&all(function));
            listed.retain(|name| !names(lambda::logs::SETTINGS).contains(name));
            let mut read = read(function);
            // Lambda sets these.
            read.retain(|name| !name.starts_with("AWS_"));
            assert_eq!(read, listed, "{function}");
            assert_eq!(all(function).len(), names(&all(function)).len(), "{function} lists one twice");
        }
    }

    #[test]
    fn every_default_is_one_that_the_function_takes() {
        for (function, _) in TABLES {
            let lookup = |name: &str| match name {
                "KAFKA_BOOTSTRAP_SERVERS" => Some("127.0.0.1:9092".to_owned()),
                "SENDER" => Some("shop@example.com".to_owned()),
                "SHOP_NAME" => Some("Shop".to_owned()),
                "PRODUCT_URL" => Some("https://shop.example/{productId}".to_owned()),
                "UNSUBSCRIBE_URL" | "CONFIRM_URL" | "ALERTS_URL" => {
                    Some("https://shop.example/{token}".to_owned())
                }
                "UNSUBSCRIBE_KEY" | "PERSON_KEY" => Some("a key for this test and nothing else".to_owned()),
                _ => None,
            };
            let refused = match function {
                SUBSCRIBE => subscribe::Config::read(&lookup).err(),
                RESTOCK => restock::Config::read(&lookup).err(),
                FEEDBACK => feedback::Config::read(&lookup).err(),
                _ => notify::Config::read(&lookup).err(),
            };
            assert_eq!(refused, None, "{function}");
        }
    }

    fn template() -> Value {
        let mut template: Value = serde_yaml_ng::from_str(include_str!("../../../../template.yaml")).unwrap();
        template.apply_merge().unwrap();
        template
    }

    fn function<'a>(template: &'a Value, name: &str) -> &'a Value {
        let title = format!("{}{}Function", name[..1].to_uppercase(), &name[1..]);
        &template["Resources"][title.as_str()]["Properties"]
    }

    fn variables(properties: &Value) -> BTreeSet<String> {
        let variables = properties["Environment"]["Variables"].as_mapping().unwrap();
        variables.keys().map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_template_sets_every_setting_of_each_function_and_nothing_that_it_does_not_know() {
        let template = template();
        let common = variables(&template["Globals"]["Function"]);
        let mut known_to_any: BTreeSet<String> = OF_THE_SDK.map(str::to_owned).into();
        for (name, _) in TABLES {
            let known = names(&all(name));
            let own = variables(function(&template, name));
            let set: BTreeSet<String> = own.union(&common).cloned().collect();
            let missing: Vec<_> = known.difference(&set).collect();
            assert!(missing.is_empty(), "the template does not set {missing:?} of {name}");
            let unknown: Vec<_> = own.difference(&known).collect();
            assert!(unknown.is_empty(), "the template sets {unknown:?}, which {name} does not know");
            known_to_any.extend(known);
        }
        let unknown: Vec<_> = common.difference(&known_to_any).collect();
        assert!(unknown.is_empty(), "the template sets {unknown:?} for all functions, and none knows it");
    }

    #[test]
    fn the_templates_time_out_of_notify_leaves_time_for_a_call_to_ses() {
        let seconds = function(&template(), NOTIFY)["Timeout"].as_u64().unwrap();
        assert!(Duration::from_secs(seconds) >= notify::LEAST_TIMEOUT, "{seconds} s");
    }

    /// `docs/configuration.md` as the tables have it.
    fn page() -> String {
        let mut page = String::from(
            "# Configuration\n\nEach function reads its settings from the environment. Missing and unusable settings are all reported \
             at startup, and the function\ndoes not start. `template.yaml` sets all of them. This page is generated from the \
             tables in the functions' crates; a test\nholds it to them.\n",
        );
        let mut section = |title: &str, settings: &[Setting]| {
            write!(page, "\n## {title}\n\n| variable | default | meaning |\n|---|---|---|\n").unwrap();
            for Setting { name, fallback, help } in settings {
                let default = match fallback {
                    Fallback::Required => "required".to_owned(),
                    Fallback::Value(value) => format!("`{value}`"),
                    Fallback::Otherwise(words) => (*words).to_owned(),
                };
                writeln!(page, "| `{name}` | {default} | {help} |").unwrap();
            }
        };
        for (function, own) in TABLES {
            section(function, own);
        }
        section("restock and notify: Kafka", kafka::SETTINGS);
        section("all: logs", lambda::logs::SETTINGS);
        page.push_str(
            "\nAWS's own variables (`AWS_REGION`, `AWS_ENDPOINT_URL_DYNAMODB`, …) are the SDK's.\n",
        );
        page
    }

    #[test]
    fn the_documentation_lists_every_setting() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
        if std::env::var_os("NOTIFY_ME_WRITE_DOCS").is_some() {
            std::fs::write(&file, page()).unwrap();
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(
            written,
            page(),
            "write it anew: NOTIFY_ME_WRITE_DOCS=1 cargo test -p notify-me --lib settings"
        );
    }
}
