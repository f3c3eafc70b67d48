//! The certificates that a function trusts: where each service is AWS's own, Amazon's five roots, in place of the 140 or so of
//! the machine, which every cold start would read and parse. Amazon Trust Services signs AWS's endpoints, and its repository
//! (<https://www.amazontrust.com/repository/>) lists these roots; "How to Prepare for AWS's Move to Its Own Certificate
//! Authority" on AWS's security blog says which a client must trust.

use aws_smithy_http_client::tls::{TlsContext, TrustStore};

/// Amazon Root CA 1 to 4 and Starfield Services G2, under which the others are cross-signed.
const AMAZON: &str = include_str!("amazon-roots.pem");

/// Names by which an environment says that a service is another one, or that other certificates are to be trusted.
const OTHERS: [&str; 4] = ["AWS_ENDPOINT_URL", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY"];

/// Whether an environment of these names, in this region, speaks to AWS's own endpoints alone. What signs the endpoints
/// of China's and the isolated partitions was not found in AWS's documents: there the machine's bundle is trusted, as before.
fn is_amazon_alone(names: impl IntoIterator<Item = String>, region: &str) -> bool {
    let other = |name: String| {
        let name = name.to_ascii_uppercase();
        OTHERS.iter().any(|other| name.starts_with(other))
    };
    !region.is_empty()
        && !["cn-", "us-iso", "eu-isoe-"].iter().any(|partition| region.starts_with(partition))
        && !names.into_iter().any(other)
}

/// What this process trusts, by its environment.
pub(crate) fn of_environment() -> Option<TlsContext> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    if !is_amazon_alone(names, &std::env::var("AWS_REGION").unwrap_or_default()) {
        return None;
    }
    let roots = certificates().fold(TrustStore::empty(), TrustStore::with_pem_certificate);
    TlsContext::builder().with_trust_store(roots).build().ok()
}

fn certificates() -> impl Iterator<Item = String> {
    const BEGIN: &str = "-----BEGIN";
    AMAZON.split(BEGIN).skip(1).map(|certificate| format!("{BEGIN}{certificate}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amazons_roots_are_trusted_alone_where_every_service_is_amazons() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        for (set, region, alone) in [
            (&["AWS_REGION", "PATH"][..], "eu-central-1", true),
            (&["AWS_REGION"], "us-gov-west-1", true),
            (&["AWS_ENDPOINT_URL"], "eu-central-1", false),
            (&["AWS_ENDPOINT_URL_DYNAMODB"], "eu-central-1", false),
            (&["SSL_CERT_FILE"], "eu-central-1", false),
            (&["SSL_CERT_DIR"], "eu-central-1", false),
            (&["https_proxy"], "eu-central-1", false),
            (&["AWS_REGION"], "cn-north-1", false),
            (&["AWS_REGION"], "us-isob-east-1", false),
            (&[], "", false),
        ] {
            assert_eq!(is_amazon_alone(names(set), region), alone, "{set:?} {region}");
        }
    }

    #[test]
    fn each_of_the_five_is_a_certificate_by_itself() {
        let certificates: Vec<String> = certificates().collect();
        assert_eq!(certificates.len(), 5);
        for certificate in certificates {
            assert!(certificate.contains("-----END CERTIFICATE-----"), "{certificate}");
            let context = TrustStore::empty().with_pem_certificate(certificate);
            assert!(TlsContext::builder().with_trust_store(context).build().is_ok());
        }
    }
}
