//! A certificate authority of one run, and what clients of every language need to trust it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// The password of the trust store, which holds no secret.
const STORE_PASSWORD: &str = "changeit";

/// Where the authority's certificate lies.
pub(crate) struct Trust {
    /// As PEM, which all but Java read.
    pub(crate) pem: PathBuf,
    /// As PKCS #12, for Java; missing where there is no keytool.
    pub(crate) store: PathBuf,
}

/// Makes an authority and a server certificate for 127.0.0.1 (ECDSA P-256).
///
/// # Errors
/// When the files cannot be written.
pub(crate) fn make(directory: &Path) -> anyhow::Result<(TlsAcceptor, Trust)> {
    let mut authority = CertificateParams::new(Vec::<String>::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Names of their own: OpenSSL takes a certificate whose issuer has its own name for one that signed itself.
    authority.distinguished_name.push(DnType::CommonName, "bench CA");
    let authority_key = KeyPair::generate()?;
    let certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate()?;
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let mut server = CertificateParams::new(names)?;
    server.distinguished_name.push(DnType::CommonName, "bench");
    let server = server.signed_by(&key, &issuer)?;

    let trust = Trust { pem: directory.join("ca.pem"), store: directory.join("ca.p12") };
    std::fs::write(&trust.pem, certificate.pem()).context("the CA's certificate cannot be written")?;
    let _ = std::fs::remove_file(&trust.store);
    // Without Java no contender needs it.
    let _ = std::process::Command::new("keytool")
        .args(["-importcert", "-noprompt", "-alias", "bench", "-storetype", "PKCS12"])
        .args(["-storepass", STORE_PASSWORD, "-file"])
        .arg(&trust.pem)
        .arg("-keystore")
        .arg(&trust.store)
        .output();

    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![server.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?,
        )?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), trust))
}
