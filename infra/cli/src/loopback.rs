//! HTTP clients that reach this machine's own parts past a proxy: `HTTP_PROXY` and its like say how to reach the world,
//! and a company's proxy knows nothing of a laptop's loopback addresses. The client on its own exempts them only where
//! `NO_PROXY` names them.

use reqwest::ClientBuilder;
use url::{Host, Url};

/// A client for this address, and for others on the same host. To a loopback address it goes straight; to any other as
/// the environment says.
pub(crate) fn client_for(address: &str) -> ClientBuilder {
    let client = reqwest::Client::builder();
    if is_loopback(address) { client.no_proxy() } else { client }
}

fn is_loopback(address: &str) -> bool {
    let url = Url::parse(address).ok();
    match url.as_ref().and_then(Url::host) {
        // Names below `localhost` are loopback's too (RFC 6761, section 6.3).
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => {
            address.is_loopback() || address.to_ipv4_mapped().is_some_and(|address| address.is_loopback())
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_own_addresses_are_reached_past_a_proxy() {
        for own in [
            "http://127.0.0.1:3000/_aws/ses",
            "http://127.8.0.2",
            "http://localhost:3000",
            "http://LOCALHOST.:3000",
            "http://api.localhost/",
            "http://[::1]:3000/",
            "http://[::ffff:127.0.0.1]:3000/",
        ] {
            assert!(is_loopback(own), "{own}");
        }
        for other in
            ["https://api.example.com", "http://10.0.0.1:3000", "http://localhost.example.com", "127.0.0.1"]
        {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
