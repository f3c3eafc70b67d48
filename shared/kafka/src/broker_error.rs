//! What stands between a client and its brokers, in words that say what to look at. librdkafka
//! fails a delivery with "timed out" only; the reason is in the lines that it says meanwhile.

use std::fmt;

use super::security::Mode;

/// The last reason for which a broker could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerError {
    kind: BrokerErrorKind,
    /// librdkafka's own words, without anything as long as a token.
    message: String,
}

/// What it was, as far as librdkafka's words tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerErrorKind {
    /// The broker does not know the user or the password is another.
    Password,
    /// The broker refused the token: expired, for another region, or of a principal without the right
    /// to connect.
    Token,
    /// No token could be made.
    NoToken,
    /// The broker's certificate is not trusted.
    Ca,
    /// The broker did not accept the client's certificate.
    ClientCertificate,
    /// The broker wants a client certificate, and the client has none.
    NoClientCertificate,
    /// The client speaks TLS and the broker does not.
    NotTls,
    /// The broker speaks TLS and the client does not.
    WantsTls,
    /// The broker wants a login of another kind, or one at all.
    OtherLogin,
    /// The broker cannot be reached, or something else.
    Connection,
}

impl BrokerError {
    /// Parses a line of librdkafka's, of a client that logs in by `mode`.
    pub(super) fn parse(mode: Mode, line: &str) -> Self {
        // A line of the log begins with the thread that wrote it.
        let message = line
            .strip_prefix("[thrd:")
            .and_then(|line| line.split_once("]: "))
            .map_or(line, |(_, rest)| rest);
        Self { kind: BrokerErrorKind::parse(mode, message), message: without_long_words(message) }
    }

    /// librdkafka's own words.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// What it was.
    pub fn kind(&self) -> BrokerErrorKind {
        self.kind
    }
}

impl BrokerErrorKind {
    fn parse(mode: Mode, message: &str) -> Self {
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if says(&["acquire SASL OAUTHBEARER token", "no token available"]) {
            Self::NoToken
        } else if says(&["mechanism handshake failed"]) {
            Self::OtherLogin
        } else if says(&["SASL"]) && says(&["uthentication error", "uthentication failure"]) {
            match mode {
                Mode::Plain | Mode::Scram256 | Mode::Scram => Self::Password,
                Mode::MskIam => Self::Token,
                _ => Self::OtherLogin,
            }
        } else if mode == Mode::Mtls && says(&[" alert "]) {
            // An alert is the broker's answer to what it was shown.
            Self::ClientCertificate
        } else if says(&["alert bad certificate", "alert certificate required"]) {
            Self::NoClientCertificate
        } else if says(&["certificate verify failed", "Failed to verify broker certificate"]) {
            Self::Ca
        } else if says(&["PLAINTEXT broker listener", "wrong version number", "packet length too long"]) {
            Self::NotTls
        } else if mode == Mode::Plaintext && says(&["Disconnected"]) && says(&["in state APIVERSION_QUERY"]) {
            // The first thing said was not understood.
            Self::WantsTls
        } else if !mode.logs_in() && says(&["Disconnected"]) && was_up_shortly(message) {
            Self::OtherLogin
        } else {
            Self::Connection
        }
    }
}

impl fmt::Display for BrokerErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password => "the broker refused the user name or the password",
            Self::Token => {
                "the broker refused the token: expired, for another region, or without the right to connect"
            }
            Self::NoToken => "no token could be made to log in with",
            Self::Ca => {
                "the broker's certificate is not trusted: of an unknown CA, expired, or for another host"
            }
            Self::ClientCertificate => "the broker did not accept the client's certificate",
            Self::NoClientCertificate => "the broker wants a client certificate",
            Self::NotTls => "the broker does not speak TLS on this port",
            Self::WantsTls => "the broker wants TLS on this port",
            Self::OtherLogin => "the broker does not accept this kind of login on this port",
            Self::Connection => "the broker cannot be reached",
        })
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kind, self.message)
    }
}

impl std::error::Error for BrokerError {}

/// Whether the broker closed the connection at the first thing that needs a login. One that goes
/// away closes connections as well, but seldom so young.
fn was_up_shortly(message: &str) -> bool {
    const SHORTLY_MS: u32 = 2_000;
    let lasted = message.split_once("(after ").and_then(|(_, after)| after.split_once("ms in state UP"));
    lasted.and_then(|(lasted, _)| lasted.parse::<u32>().ok()).is_some_and(|lasted| lasted < SHORTLY_MS)
}

/// The text with every word left out that is long enough for a token, a signature or a key: a
/// broker may repeat what it was sent. A host name's longest part has 63 characters.
fn without_long_words(message: &str) -> String {
    const LONGEST: usize = 63;
    let in_secrets = |c: char| c.is_ascii_alphanumeric() || "_%+/=~-".contains(c);
    let mut shown = String::with_capacity(message.len());
    let mut rest = message;
    while !rest.is_empty() {
        let word = rest.find(|c| !in_secrets(c)).unwrap_or(rest.len());
        shown.push_str(if word > LONGEST { "…" } else { &rest[..word] });
        rest = &rest[word..];
        let gap = rest.find(in_secrets).unwrap_or(rest.len());
        shown.push_str(&rest[..gap]);
        rest = &rest[gap..];
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_a_broker_repeats_is_left_out() {
        let signature = "743eda885d8a4803cc8dab1fd78b3810d97d93ed2ea949926c7e9204a755aa86";
        let token = "aHR0cHM6Ly9rYWZrYS5ldS13ZXN0LTEuYW1hem9uYXdzLmNvbS8_QWN0aW9uPWthZmthLWNsdXN0ZXI";
        let broker = "sasl_ssl://b-1.notifyme.abc123.c2.kafka.eu-west-1.amazonaws.com:9098/bootstrap";
        let line = format!("{broker}: SASL authentication error: {token}: X-Amz-Signature={signature}");
        let error = BrokerError::parse(Mode::MskIam, &line);
        assert_eq!(error.kind(), BrokerErrorKind::Token);
        assert_eq!(error.message, format!("{broker}: SASL authentication error: …: …"));
    }

    #[test]
    fn a_word_of_other_letters_is_kept_whole() {
        assert_eq!(without_long_words("Prüfung: ✓ ok"), "Prüfung: ✓ ok");
    }
}
