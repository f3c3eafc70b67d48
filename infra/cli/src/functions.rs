//! The table of functions: what each is given and how much it may take.
//! The names of the variables are the functions' contract; on AWS the template sets the same ones.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use kafka::Security;
use lambda_host::{FEEDBACK, Function, NOTIFY, RESTOCK, SUBSCRIBE};

pub(crate) mod command;
mod settings;

/// Where the parts are that the functions speak to.
#[derive(Debug, Clone)]
pub(crate) struct Wiring {
    /// The front, `http://127.0.0.1:3000`; links in emails lead there.
    pub(crate) api: String,
    /// Kafka, `host:port[,host:port]`.
    pub(crate) kafka: String,
    /// Whether that Kafka may want a login, with what the caller's variables say.
    pub(crate) kafka_login: bool,
    /// DynamoDB; `None` for the endpoint of the AWS SDK.
    pub(crate) dynamodb: Option<String>,
    /// SES; `None` for the endpoint of the AWS SDK.
    pub(crate) ses: Option<String>,
    /// The AWS region.
    pub(crate) region: String,
    /// The table's name.
    pub(crate) table: String,
    /// Signs the unsubscribe links.
    pub(crate) unsubscribe_key: String,
    /// Turns addresses into the hashes that keys hold.
    pub(crate) person_key: String,
}

impl Wiring {
    /// True if a function needs credentials that AWS accepts.
    pub(crate) fn uses_aws(&self) -> bool {
        self.dynamodb.is_none() || self.ses.is_none()
    }
}

/// The functions of this program: `program` is this binary, `caller` the variables of this
/// process, of which only those that the functions need are handed on.
pub(crate) fn table(
    program: &std::path::Path,
    wiring: &Wiring,
    caller: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<Function> {
    let common = common(wiring, caller);
    let function = |name: &'static str, seconds, concurrency, own: Vec<(&str, String)>| {
        let mut environment = common.clone();
        if [SUBSCRIBE, FEEDBACK].contains(&name) {
            // They never speak to Kafka.
            environment.retain(|key, _| !Security::VARIABLES.contains(&key.as_str()));
        }
        for (key, value) in own {
            environment.entry(key.to_owned()).or_insert_with(|| value.into());
        }
        Function {
            name,
            program: program.to_owned(),
            arguments: vec!["function".into(), name.into()],
            timeout: Duration::from_secs(seconds),
            concurrency,
            memory_mb: 256,
            region: wiring.region.clone(),
            environment,
        }
    };
    let kafka = || kafka(wiring);
    let key = || ("UNSUBSCRIBE_KEY", wiring.unsubscribe_key.clone());
    let shop = || [("SENDER", SHOP.to_owned()), ("SHOP_NAME", "Notify Me".to_owned())];
    let link = |name, path| (name, format!("{}/{path}/{{token}}", wiring.api));
    let mut people = vec![key(), ("PERSON_KEY", wiring.person_key.clone())];
    people.extend(shop());
    people.extend([
        link("CONFIRM_URL", "confirm"),
        link("UNSUBSCRIBE_URL", "unsubscribe"),
        link("ALERTS_URL", "alerts"),
    ]);
    let mut deliver = kafka();
    deliver.extend(shop());
    deliver.extend([
        key(),
        ("PRODUCT_URL", format!("{}/#product-{{productId}}", wiring.api)),
        ("REPORT_BATCH_ITEM_FAILURES", "true".to_owned()),
        link("UNSUBSCRIBE_URL", "unsubscribe"),
        link("ALERTS_URL", "alerts"),
    ]);
    let [sender, _] = shop();
    let reported = vec![sender, ("PERSON_KEY", wiring.person_key.clone())];
    vec![
        function(SUBSCRIBE, 10, 8, people),
        function(RESTOCK, 15, 4, kafka()),
        function(NOTIFY, 60, 16, deliver),
        function(FEEDBACK, 30, 4, reported),
    ]
}

fn kafka(wiring: &Wiring) -> Vec<(&'static str, String)> {
    vec![
        ("KAFKA_BOOTSTRAP_SERVERS", wiring.kafka.clone()),
        ("KAFKA_RESTOCK_TOPIC", crate::embedded::kafka::RESTOCKS.to_owned()),
        ("KAFKA_BATCHES_TOPIC", crate::embedded::kafka::BATCHES.to_owned()),
    ]
}

/// The sender of emails where nobody says another.
const SHOP: &str = "shop@example.com";

/// The sender of emails, with these variables beside those of this process.
pub(crate) fn sender(environment: &[(String, String)]) -> String {
    let own = environment.iter().rev().find(|(name, _)| name == "SENDER").map(|(_, sender)| sender.clone());
    let given = own.or_else(|| std::env::var("SENDER").ok()).filter(|sender| !sender.is_empty());
    given.unwrap_or_else(|| SHOP.to_owned())
}

fn common(wiring: &Wiring, caller: impl Iterator<Item = (OsString, OsString)>) -> BTreeMap<String, OsString> {
    let mut environment: BTreeMap<String, OsString> = caller
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value)))
        .filter(|(key, _)| is_handed_on(key, wiring))
        .collect();
    let set = |key: &str, value: &str, to: &mut BTreeMap<String, OsString>| {
        to.insert(key.to_owned(), value.into());
    };
    if !wiring.uses_aws() {
        // The stand-ins accept anything, and nothing shall look for real credentials.
        set("AWS_ACCESS_KEY_ID", "local", &mut environment);
        set("AWS_SECRET_ACCESS_KEY", "local", &mut environment);
        set("AWS_EC2_METADATA_DISABLED", "true", &mut environment);
    }
    if let Some(url) = &wiring.dynamodb {
        set("AWS_ENDPOINT_URL_DYNAMODB", url, &mut environment);
    }
    if let Some(url) = &wiring.ses {
        set("AWS_ENDPOINT_URL_SESV2", url, &mut environment);
    }
    set("TABLE_NAME", &wiring.table, &mut environment);
    environment.entry("RUST_LOG".to_owned()).or_insert_with(|| "warn".into());
    environment
}

/// Which of the caller's variables a function gets: what a person sets to see more or to change
/// a setting of the functions, and, where it is not the embedded Kafka, the login to it, and, where
/// real AWS is used, what the AWS SDK reads.
fn is_handed_on(key: &str, wiring: &Wiring) -> bool {
    const SEE_MORE: [&str; 4] =
        ["RUST_LOG", "RUST_BACKTRACE", "AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL"];
    const FOR_AWS: [&str; 3] = ["HOME", "SES_CONFIGURATION_SET", "SSL_CERT_FILE"];
    SEE_MORE.contains(&key)
        || settings::are_free(key)
        || wiring.kafka_login && Security::VARIABLES.contains(&key)
        || wiring.uses_aws()
            && (FOR_AWS.contains(&key) || key.starts_with("AWS_") && !key.starts_with("AWS_LAMBDA_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wiring(ses: Option<String>) -> Wiring {
        Wiring {
            api: "http://127.0.0.1:1".to_owned(),
            kafka: "127.0.0.1:2".to_owned(),
            kafka_login: false,
            dynamodb: Some("http://127.0.0.1:3".to_owned()),
            ses,
            region: "eu-west-1".to_owned(),
            table: "t".to_owned(),
            unsubscribe_key: "k".to_owned(),
            person_key: "p".to_owned(),
        }
    }

    fn environment(wiring: &Wiring, caller: &[(&str, &str)]) -> BTreeMap<String, OsString> {
        let caller = caller.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        table(std::path::Path::new("program"), wiring, caller).remove(2).environment
    }

    const CALLER: [(&str, &str); 4] =
        [("AWS_ACCESS_KEY_ID", "real"), ("AWS_PROFILE", "shop"), ("PATH", "/bin"), ("SEND_RATE", "14")];

    #[test]
    fn without_aws_no_credentials_of_the_caller_reach_a_function() {
        let environment = environment(&wiring(Some("http://127.0.0.1:4".to_owned())), &CALLER);
        assert_eq!(environment["AWS_ACCESS_KEY_ID"], "local");
        assert!(!environment.contains_key("AWS_PROFILE"));
        assert!(!environment.contains_key("PATH"));
        assert_eq!(environment["SEND_RATE"], "14");
    }

    #[test]
    fn a_setting_of_a_function_reaches_it_unless_this_program_has_to_choose_it() {
        let handed_on = |name: &str| {
            let caller = std::iter::once((name, "7"));
            environment(&wiring(Some("http://127.0.0.1:4".to_owned())), &caller.collect::<Vec<_>>())
                .get(name)
                .is_some_and(|value| value == "7")
        };
        for name in [
            "SLICE_SECONDS",
            "SLICE_MAILS",
            "SWEEP_AFTER_SECONDS",
            "SENDER",
            "UNSUBSCRIBE_KEY",
            "UNSUBSCRIBE_URL",
        ] {
            assert!(handed_on(name), "{name}");
        }
        for name in
            ["TABLE_NAME", "KAFKA_BOOTSTRAP_SERVERS", "REPORT_BATCH_ITEM_FAILURES", "KAFKA_PASSWORD", "OTHER"]
        {
            assert!(!handed_on(name), "{name}");
        }
    }

    #[test]
    fn only_the_functions_that_speak_to_another_kafka_get_the_login_to_it() {
        let has_password = |kafka_login| {
            let wiring = Wiring { kafka_login, ..wiring(None) };
            let caller = std::iter::once(("KAFKA_PASSWORD".into(), "hunter2".into()));
            let table = table(std::path::Path::new("program"), &wiring, caller);
            let names = table.iter().filter(|one| one.environment.contains_key("KAFKA_PASSWORD"));
            names.map(|function| function.name).collect::<Vec<_>>()
        };
        assert_eq!(has_password(true), [RESTOCK, NOTIFY]);
        assert!(has_password(false).is_empty());
    }

    #[test]
    fn with_aws_the_callers_credentials_are_used_and_only_the_local_parts_get_an_endpoint() {
        let environment = environment(&wiring(None), &CALLER);
        assert_eq!(environment["AWS_ACCESS_KEY_ID"], "real");
        assert_eq!(environment["AWS_PROFILE"], "shop");
        assert!(!environment.contains_key("AWS_ENDPOINT_URL_SESV2"));
        assert_eq!(environment["AWS_ENDPOINT_URL_DYNAMODB"], "http://127.0.0.1:3");
        assert!(!environment.contains_key("PATH"));
    }
}
