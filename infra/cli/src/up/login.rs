//! How the system logs in to the Kafka of `--kafka`: with the variables that its functions take.

use anyhow::bail;
use domain::setting::Settings;
use kafka::{KafkaConfig, Mode, Security};

/// Where that Kafka is and how to log in, by the variables of `lookup`.
///
/// # Errors
/// Every variable that is missing or unusable, and a login that cannot be done here.
pub(super) fn read(servers: &str, lookup: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<KafkaConfig> {
    let lookup = |name: &str| match name {
        "KAFKA_BOOTSTRAP_SERVERS" => Some(servers.to_owned()),
        _ => lookup(name),
    };
    let mut settings = Settings::new(&lookup);
    let kafka = KafkaConfig::from_settings(&mut settings);
    let kafka = settings.finish(kafka)?;
    if kafka.security.mode() == Mode::MskIam {
        bail!(
            "KAFKA_SECURITY=msk-iam is for the functions on AWS: here, the pollers could not log in. \
             notify-me up takes plaintext, tls, plain, scram-256, scram or mtls"
        );
    }
    Ok(kafka)
}

/// The variables that are set and that the embedded Kafka, which takes no login, has no use for.
pub(super) fn unused(lookup: &dyn Fn(&str) -> Option<String>) -> Vec<&'static str> {
    let is_set = |name: &&str| lookup(name).is_some_and(|value| !value.is_empty());
    Security::VARIABLES.into_iter().filter(is_set).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn set(name: &'static str, value: &'static str) -> impl Fn(&str) -> Option<String> {
        move |asked| (asked == name).then(|| value.to_owned())
    }

    #[test]
    fn a_login_that_is_only_for_aws_is_refused_with_those_that_are_possible() {
        let set = |name: &str| match name {
            "KAFKA_SECURITY" => Some("msk-iam".to_owned()),
            "AWS_REGION" => Some("eu-west-1".to_owned()),
            _ => None,
        };
        let refusal = read("127.0.0.1:1", &set).unwrap_err().to_string();
        assert!(refusal.contains("plaintext, tls, plain, scram-256, scram or mtls"), "{refusal}");
    }

    #[test]
    fn what_is_wrong_with_a_login_is_named() {
        let refusal = read("127.0.0.1:1", &set("KAFKA_SECURITY", "scram")).unwrap_err().to_string();
        assert!(refusal.contains("KAFKA_USERNAME is missing; KAFKA_PASSWORD is missing"), "{refusal}");
    }

    #[test]
    fn only_variables_that_are_set_are_unused() {
        assert_eq!(unused(&set("KAFKA_PASSWORD", "hunter2")), ["KAFKA_PASSWORD"]);
        assert_eq!(unused(&set("KAFKA_SECURITY", "")), Vec::<&str>::new());
    }
}
