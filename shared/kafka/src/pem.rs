//! Certificates and keys as PEM texts, and what becomes of them on their way through secrets and
//! environments: line breaks that turned into spaces or into a backslash and an n.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// What a certificate setting accepts.
const CERTIFICATES: &str = "one or more certificates in PEM, -----BEGIN CERTIFICATE----- and so on";
/// What a key setting accepts.
const KEY: &str = "one private key in PKCS#8 as PEM, not encrypted, -----BEGIN PRIVATE KEY----- and so on; \
                   openssl pkcs8 -topk8 -nocrypt makes one of another key";

/// The certificates in `text`, in their order, in PEM that any reader takes.
///
/// # Errors
/// What is accepted, when there is none or one of them is damaged.
pub(super) fn certificates(text: &str) -> Result<String, &'static str> {
    let pem = mended(text).ok_or(CERTIFICATES)?;
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        certificate.map_err(|_| CERTIFICATES)?;
        count += 1;
    }
    // Nothing else may be among them: a key in a certificate's setting is a mix-up.
    if count > 0 && count == pem.matches("-----BEGIN ").count() { Ok(pem) } else { Err(CERTIFICATES) }
}

/// The private key in `text`, likewise: PKCS#8, since Lambda's event source mapping takes no other ("the private key must be
/// in PKCS #8 format": self-managed Kafka, authentication, in its developer guide), and both read the same secret.
///
/// # Errors
/// What is accepted, when there is none, more than one, or an encrypted one.
pub(super) fn key(text: &str) -> Result<String, &'static str> {
    let pem = mended(text).ok_or(KEY)?;
    let keys: Vec<_> = PrivateKeyDer::pem_slice_iter(pem.as_bytes()).collect();
    if matches!(keys.as_slice(), [Ok(PrivateKeyDer::Pkcs8(_))]) { Ok(pem) } else { Err(KEY) }
}

/// Every section of `text` with its line breaks put right and what stands between the sections
/// left out. `None` where a section has no end or holds something other than base64.
fn mended(text: &str) -> Option<String> {
    const DASHES: &str = "-----";
    let text = text.replace("\\r", "").replace("\\n", "\n");
    let mut rest = text.as_str();
    let mut pem = String::with_capacity(text.len());
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let (label, body) = begun.split_once(DASHES)?;
        let (body, after) = body.split_once(&format!("-----END {label}{DASHES}"))?;
        let body: String = body.split_whitespace().collect();
        BASE64_STANDARD.decode(&body).ok()?;
        pem.push_str(&format!("-----BEGIN {label}-----\n"));
        for line in body.as_bytes().chunks(64) {
            pem.push_str(std::str::from_utf8(line).ok()?);
            pem.push('\n');
        }
        pem.push_str(&format!("-----END {label}-----\n"));
        rest = after;
    }
    Some(pem)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    const BODY: &str = "TWFueSBoYW5kcyBtYWtlIGxpZ2h0IHdvcmsuIE1hbnkgaGFuZHMgbWFrZSBsaWdo\ndCB3b3JrLg==";

    fn section(label: &str) -> String {
        format!("-----BEGIN {label}-----\n{BODY}\n-----END {label}-----\n")
    }

    #[test]
    fn line_breaks_that_were_lost_on_the_way_are_put_back() {
        let whole = section("CERTIFICATE") + &section("CERTIFICATE");
        let spoilt = [
            whole.clone(),
            whole.trim().to_owned(),
            whole.replace('\n', " "),
            whole.replace('\n', "\\n"),
            whole.replace('\n', "\\r\\n"),
            whole.replace('\n', "\r\n"),
            whole.replace('\n', ""),
            format!("subject=CN = broker\n{whole}"),
        ];
        for text in spoilt {
            assert_eq!(certificates(&text).unwrap(), whole, "{text:?}");
        }
        assert_eq!(key(&section("PRIVATE KEY").replace('\n', " ")).unwrap(), section("PRIVATE KEY"));
    }

    #[test]
    fn a_key_that_the_mapping_would_not_take_is_refused_with_what_makes_one_of_it() {
        for label in ["EC PRIVATE KEY", "RSA PRIVATE KEY"] {
            assert!(key(&section(label)).unwrap_err().contains("openssl pkcs8"), "{label}");
        }
        assert!(key(&section("PRIVATE KEY")).is_ok());
    }

    #[test]
    fn what_is_no_certificate_or_no_key_is_refused() {
        let certificate = section("CERTIFICATE");
        for text in [
            "certificate.pem".to_owned(),
            section("PRIVATE KEY"),
            certificate.clone() + &section("PRIVATE KEY"),
            certificate.replace("-----END CERTIFICATE-----", ""),
            certificate.replace("TWF", "T*F"),
        ] {
            assert_eq!(certificates(&text), Err(CERTIFICATES), "{text}");
        }
        for text in [certificate, section("ENCRYPTED PRIVATE KEY"), section("PRIVATE KEY").repeat(2)] {
            assert_eq!(key(&text), Err(KEY), "{text}");
        }
    }
}
