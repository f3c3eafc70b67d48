//! How a client logs in to Kafka: the settings, what each way of logging in needs, and what it
//! makes of librdkafka's own settings. It opens no connection.

use std::fmt;
use std::str::FromStr;

use domain::setting::Settings;
use secrecy::{ExposeSecret, SecretString};

use super::pem;

const USERNAME: &str = "KAFKA_USERNAME";
const PASSWORD: &str = "KAFKA_PASSWORD";
const CLIENT_CERTIFICATE: &str = "KAFKA_CLIENT_CERTIFICATE";
const CLIENT_KEY: &str = "KAFKA_CLIENT_KEY";
const CA_CERTIFICATE: &str = "KAFKA_CA_CERTIFICATE";

/// Every setting of a login, beside the one that says which it is.
const ALL: [&str; 5] = [USERNAME, PASSWORD, CLIENT_CERTIFICATE, CLIENT_KEY, CA_CERTIFICATE];

/// The ways to log in, as `KAFKA_SECURITY` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No TLS and no login: for a network of one's own.
    Plaintext,
    /// TLS with the broker's certificate, and no login.
    Tls,
    /// SASL/PLAIN over TLS: a user name and a password, as Confluent Cloud, WarpStream and Event Hubs have it.
    Plain,
    /// SASL/SCRAM-SHA-256 over TLS: likewise.
    Scram256,
    /// SASL/SCRAM-SHA-512 over TLS: likewise.
    Scram,
    /// TLS with certificates on both sides.
    Mtls,
    /// Amazon MSK's IAM login: SASL/OAUTHBEARER over TLS, with a signed request as the token.
    MskIam,
}

impl Mode {
    /// Its settings, and whether it cannot do without each.
    fn takes(self) -> &'static [(&'static str, bool)] {
        match self {
            Self::Plaintext => &[],
            Self::Tls | Self::MskIam => &[(CA_CERTIFICATE, false)],
            Self::Plain | Self::Scram256 | Self::Scram => {
                &[(USERNAME, true), (PASSWORD, true), (CA_CERTIFICATE, false)]
            }
            Self::Mtls => &[(CLIENT_CERTIFICATE, true), (CLIENT_KEY, true), (CA_CERTIFICATE, false)],
        }
    }

    /// The same in words.
    fn takes_in_words(self) -> String {
        let words: Vec<_> = self
            .takes()
            .iter()
            .map(|(name, needed)| if *needed { (*name).to_owned() } else { format!("perhaps {name}") })
            .collect();
        if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
    }

    /// What SASL calls it, where there is a password.
    fn mechanism(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram256 => "SCRAM-SHA-256",
            _ => "SCRAM-SHA-512",
        }
    }

    /// Whether there is a login by SASL once the connection stands.
    pub(super) fn logs_in(self) -> bool {
        matches!(self, Self::Plain | Self::Scram256 | Self::Scram | Self::MskIam)
    }
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "plaintext" => Ok(Self::Plaintext),
            "tls" => Ok(Self::Tls),
            "plain" => Ok(Self::Plain),
            "scram-256" => Ok(Self::Scram256),
            "scram" => Ok(Self::Scram),
            "mtls" => Ok(Self::Mtls),
            "msk-iam" => Ok(Self::MskIam),
            _ => Err("plaintext, tls, plain, scram-256, scram, mtls or msk-iam"),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plaintext => "plaintext",
            Self::Tls => "tls",
            Self::Plain => "plain",
            Self::Scram256 => "scram-256",
            Self::Scram => "scram",
            Self::Mtls => "mtls",
            Self::MskIam => "msk-iam",
        })
    }
}

/// How to log in. Secrets in it never show.
#[derive(Debug, Clone)]
pub struct Security {
    login: Login,
    /// The CA of the brokers' certificates in PEM; without one, the system's CAs.
    ca: Option<String>,
}

#[derive(Debug, Clone)]
enum Login {
    Plaintext,
    Tls,
    /// Of the modes with a password, this one.
    Password {
        mode: Mode,
        username: String,
        password: SecretString,
    },
    Mtls {
        certificate: String,
        key: SecretString,
    },
    MskIam {
        region: String,
    },
}

impl Security {
    /// The variables that only matter to a login.
    pub const VARIABLES: [&str; 6] =
        ["KAFKA_SECURITY", USERNAME, PASSWORD, CLIENT_CERTIFICATE, CLIENT_KEY, CA_CERTIFICATE];

    /// Reads the settings of a login.
    ///
    /// | variable | for | meaning |
    /// |---|---|---|
    /// | `KAFKA_SECURITY` | | `plaintext` (default), `tls`, `plain`, `scram-256`, `scram`, `mtls` or `msk-iam` |
    /// | `KAFKA_USERNAME`, `KAFKA_PASSWORD` | plain, scram-256, scram | required there |
    /// | `KAFKA_CLIENT_CERTIFICATE` | mtls | required there: PEM, the client's own certificate first |
    /// | `KAFKA_CLIENT_KEY` | mtls | required there: PKCS#8 in PEM, not encrypted |
    /// | `KAFKA_CA_CERTIFICATE` | all but plaintext | PEM; without it, the CAs that the system trusts |
    /// | `AWS_REGION` | msk-iam | required there: the cluster's region. Lambda sets it |
    ///
    /// A setting that the login has no use for is refused: it was meant for another one.
    pub fn from_settings(settings: &mut Settings<'_>) -> Option<Self> {
        let mut unknown = false;
        let mode = settings
            .optional_by("KAFKA_SECURITY", |text| text.parse::<Mode>().inspect_err(|_| unknown = true));
        if unknown {
            return None;
        }
        let mode = mode.unwrap_or(Mode::Plaintext);
        let takes = |name: &str| mode.takes().iter().any(|(taken, _)| *taken == name);
        let mut fits = true;
        for name in ALL.into_iter().filter(|name| !takes(name)) {
            settings.optional_by(name, |_| {
                fits = false;
                Err::<(), _>(format!("KAFKA_SECURITY is {mode}, which takes {}", mode.takes_in_words()))
            });
        }
        let ca =
            takes(CA_CERTIFICATE).then(|| settings.optional_by(CA_CERTIFICATE, pem::certificates)).flatten();
        let login = match mode {
            Mode::Plaintext => Login::Plaintext,
            Mode::Tls => Login::Tls,
            Mode::Plain | Mode::Scram256 | Mode::Scram => {
                let username = settings.required(USERNAME);
                let password = settings.required::<String>(PASSWORD);
                Login::Password { mode, username: username?, password: password?.into() }
            }
            Mode::Mtls => {
                let certificate = settings.required_by(CLIENT_CERTIFICATE, pem::certificates);
                let key = settings.required_by(CLIENT_KEY, pem::key);
                Login::Mtls { certificate: certificate?, key: key?.into() }
            }
            Mode::MskIam => Login::MskIam { region: settings.required("AWS_REGION")? },
        };
        fits.then_some(Self { login, ca })
    }

    /// Which of the ways it is.
    pub fn mode(&self) -> Mode {
        match self.login {
            Login::Plaintext => Mode::Plaintext,
            Login::Tls => Mode::Tls,
            Login::Password { mode, .. } => mode,
            Login::Mtls { .. } => Mode::Mtls,
            Login::MskIam { .. } => Mode::MskIam,
        }
    }

    /// The CA of the brokers' certificates in PEM, where it is not one of the system's.
    pub(super) fn ca(&self) -> Option<&str> {
        self.ca.as_deref()
    }

    /// The region that tokens are signed for, with MSK's IAM login.
    pub(super) fn region(&self) -> Option<&str> {
        match &self.login {
            Login::MskIam { region } => Some(region),
            _ => None,
        }
    }

    /// The settings of librdkafka that make a client log in so. The values hold secrets: never log
    /// or print them. MSK's IAM login also needs a client that signs tokens, as
    /// [`super::Publisher`] does.
    pub fn client_settings(&self) -> Vec<(&'static str, String)> {
        let protocol = match self.login {
            Login::Plaintext => "plaintext",
            Login::Tls | Login::Mtls { .. } => "ssl",
            Login::Password { .. } | Login::MskIam { .. } => "sasl_ssl",
        };
        let mut settings = vec![("security.protocol", protocol.to_owned())];
        match &self.login {
            Login::Plaintext | Login::Tls => {}
            Login::Password { mode, username, password } => settings.extend([
                ("sasl.mechanisms", mode.mechanism().to_owned()),
                ("sasl.username", username.clone()),
                ("sasl.password", password.expose_secret().to_owned()),
            ]),
            Login::Mtls { certificate, key } => settings.extend([
                ("ssl.certificate.pem", certificate.clone()),
                ("ssl.key.pem", key.expose_secret().to_owned()),
            ]),
            Login::MskIam { .. } => settings.push(("sasl.mechanisms", "OAUTHBEARER".to_owned())),
        }
        match (&self.ca, &self.login) {
            (_, Login::Plaintext) => {}
            (Some(ca), _) => settings.push(("ssl.ca.pem", ca.clone())),
            // OpenSSL is linked in and knows no system's CAs; this looks in the usual places, of
            // which /etc/pki/tls/certs/ca-bundle.crt is provided.al2023's.
            (None, _) => settings.push(("ssl.ca.location", "probe".to_owned())),
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nTm90aGluZw==\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n";

    fn read(set: &[(&str, &str)]) -> Result<Security, String> {
        let lookup =
            |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let mut settings = Settings::new(&lookup);
        let security = Security::from_settings(&mut settings);
        settings.finish(security).map_err(|bad| bad.to_string())
    }

    fn client(set: &[(&str, &str)]) -> Vec<(&'static str, String)> {
        read(set).unwrap().client_settings()
    }

    fn value<'a>(settings: &'a [(&'static str, String)], name: &str) -> Option<&'a str> {
        settings.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn without_settings_there_is_no_login() {
        assert_eq!(read(&[]).unwrap().mode(), Mode::Plaintext);
        assert_eq!(client(&[]), [("security.protocol", "plaintext".to_owned())]);
    }

    #[test]
    fn each_login_becomes_the_clients_settings() {
        let tls = client(&[("KAFKA_SECURITY", "tls")]);
        assert_eq!(value(&tls, "security.protocol"), Some("ssl"));
        assert_eq!(value(&tls, "ssl.ca.location"), Some("probe"));

        for (mode, mechanism) in
            [("plain", "PLAIN"), ("scram-256", "SCRAM-SHA-256"), ("scram", "SCRAM-SHA-512")]
        {
            let login = client(&[("KAFKA_SECURITY", mode), (USERNAME, "shop"), (PASSWORD, "hunter2")]);
            assert_eq!(value(&login, "security.protocol"), Some("sasl_ssl"), "{mode}");
            assert_eq!(value(&login, "sasl.mechanisms"), Some(mechanism));
            assert_eq!(mode.parse::<Mode>().unwrap().to_string(), mode);
        }
        let scram = client(&[
            ("KAFKA_SECURITY", "scram"),
            (USERNAME, "shop"),
            (PASSWORD, "hunter2"),
            (CA_CERTIFICATE, CERTIFICATE),
        ]);
        assert_eq!(value(&scram, "security.protocol"), Some("sasl_ssl"));
        assert_eq!(value(&scram, "sasl.mechanisms"), Some("SCRAM-SHA-512"));
        assert_eq!(value(&scram, "sasl.username"), Some("shop"));
        assert_eq!(value(&scram, "sasl.password"), Some("hunter2"));
        assert_eq!(value(&scram, "ssl.ca.pem"), Some(CERTIFICATE));
        assert_eq!(value(&scram, "ssl.ca.location"), None);

        let spaces = KEY.replace('\n', " ");
        let mtls =
            client(&[("KAFKA_SECURITY", "mtls"), (CLIENT_CERTIFICATE, CERTIFICATE), (CLIENT_KEY, &spaces)]);
        assert_eq!(value(&mtls, "ssl.certificate.pem"), Some(CERTIFICATE));
        assert_eq!(value(&mtls, "ssl.key.pem"), Some(KEY));

        let msk = client(&[("KAFKA_SECURITY", "msk-iam"), ("AWS_REGION", "eu-west-1")]);
        assert_eq!(value(&msk, "sasl.mechanisms"), Some("OAUTHBEARER"));
    }

    #[test]
    fn an_unknown_login_is_refused_with_those_that_there_are() {
        let refusal = read(&[("KAFKA_SECURITY", "ssl"), (PASSWORD, "hunter2")]).unwrap_err();
        assert_eq!(
            refusal,
            "settings: KAFKA_SECURITY is not usable (plaintext, tls, plain, scram-256, scram, mtls or msk-iam)"
        );
    }

    #[test]
    fn what_a_login_needs_is_named_when_it_is_missing() {
        let missing = |mode| read(&[("KAFKA_SECURITY", mode)]).unwrap_err();
        assert_eq!(missing("scram"), "settings: KAFKA_USERNAME is missing; KAFKA_PASSWORD is missing");
        assert_eq!(
            missing("mtls"),
            "settings: KAFKA_CLIENT_CERTIFICATE is missing; KAFKA_CLIENT_KEY is missing"
        );
        assert_eq!(missing("msk-iam"), "settings: AWS_REGION is missing");
    }

    #[test]
    fn a_setting_of_another_login_is_named_with_what_this_one_takes() {
        let mtls = [("KAFKA_SECURITY", "mtls"), (CLIENT_CERTIFICATE, CERTIFICATE), (CLIENT_KEY, KEY)];
        let refusal = read(&[mtls.as_slice(), &[(PASSWORD, "hunter2")]].concat()).unwrap_err();
        assert!(refusal.contains("KAFKA_PASSWORD is not usable (KAFKA_SECURITY is mtls"), "{refusal}");
        assert!(refusal.contains("takes KAFKA_CLIENT_CERTIFICATE, KAFKA_CLIENT_KEY, perhaps"), "{refusal}");
        assert!(!refusal.contains("hunter2"), "{refusal}");

        let refusal = read(&[(CA_CERTIFICATE, CERTIFICATE)]).unwrap_err();
        assert!(refusal.contains("KAFKA_SECURITY is plaintext, which takes nothing"), "{refusal}");
    }

    #[test]
    fn what_is_no_pem_is_refused_without_being_shown() {
        let refusal = read(&[
            ("KAFKA_SECURITY", "mtls"),
            (CLIENT_CERTIFICATE, KEY),
            (CLIENT_KEY, "aHVudGVyMg=="),
            (CA_CERTIFICATE, "/etc/ca.pem"),
        ])
        .unwrap_err();
        for name in [CLIENT_CERTIFICATE, CLIENT_KEY, CA_CERTIFICATE] {
            assert!(refusal.contains(&format!("{name} is not usable (one ")), "{refusal}");
        }
        assert!(!refusal.contains("aHVudGVyMg") && !refusal.contains("/etc"), "{refusal}");
    }

    #[test]
    fn no_secret_shows() {
        let scram = read(&[("KAFKA_SECURITY", "scram"), (USERNAME, "shop"), (PASSWORD, "hunter2")]);
        let mtls = read(&[("KAFKA_SECURITY", "mtls"), (CLIENT_CERTIFICATE, CERTIFICATE), (CLIENT_KEY, KEY)]);
        let shown = format!("{:?} {:#?}", scram.unwrap(), mtls.unwrap());
        assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVyMg"), "{shown}");
    }
}
