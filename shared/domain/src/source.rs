//! Where a request came from, as far as it can be believed: the network of the caller, or of the one for whom a trusted proxy
//! calls.
//!
//! API Gateway gives the address of its own caller as `sourceIp`, and appends it to `X-Forwarded-For`, behind whatever the
//! caller wrote there; so do other proxies with theirs. Only what trusted parties appended is believed, counted from the end:
//! everything before it may be invented. (That proxies append at the right and leave what stands there:
//! <https://speedrun.nobackspacecrew.com/blog/2026/03/06/obtaining-caller-ip-address-with-lambda-furls.html>; that
//! `sourceIp` is the TCP peer: <https://repost.aws/questions/QU-xMNlCuTT5m6fL60GYEcgg>.)

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// What `TRUSTED_PROXIES` may be, as refusals say it.
pub const ACCEPTED_PROXIES: &str = "a whole number from 0 to 8, or cloudfront";
const MOST_HOPS: usize = 8;

/// Which proxies before the API are trusted to say for whom they call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustedProxies {
    /// So many, each of which appends its caller to `X-Forwarded-For`.
    Hops(usize),
    /// CloudFront, which says it in `CloudFront-Viewer-Address`.
    CloudFront,
}

impl FromStr for TrustedProxies {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "cloudfront" {
            return Ok(Self::CloudFront);
        }
        let hops = text.parse().ok().filter(|hops| *hops <= MOST_HOPS);
        hops.map(Self::Hops).ok_or(ACCEPTED_PROXIES)
    }
}

/// What a request says of where it came from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Arrival<'a> {
    /// The address of API Gateway's caller.
    pub peer: Option<&'a str>,
    /// The header `X-Forwarded-For`.
    pub forwarded_for: Option<&'a str>,
    /// The header `CloudFront-Viewer-Address`.
    pub viewer: Option<&'a str>,
}

/// The network that a request came from, as text: an IPv4 address, or the first 64 bits of an IPv6 one, which is what one
/// subscriber line has (RFC 6177). Where a trusted proxy says nothing that can be read, it is the proxy's own, so that a
/// broken one is limited and not let through.
pub fn network(arrival: Arrival<'_>, trusted: TrustedProxies) -> String {
    let claimed = match trusted {
        TrustedProxies::Hops(0) => None,
        // Behind the callers that trusted proxies appended lies the one that API Gateway did.
        TrustedProxies::Hops(hops) => {
            let entry = arrival.forwarded_for.and_then(|list| list.rsplit(',').nth(hops));
            entry.and_then(address)
        }
        TrustedProxies::CloudFront => arrival.viewer.and_then(viewer),
    };
    claimed.or_else(|| arrival.peer.and_then(address)).map_or_else(|| "unknown".to_owned(), prefix)
}

/// An address as proxies write it: bare, or with a port, and then an IPv6 one in brackets (RFC 7239, 6).
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').filter(|(_, port)| port.is_empty() || is_port(port))?.0,
        None => match text.split_once(':') {
            // One colon alone: IPv4 and a port.
            Some((host, port)) if !port.contains(':') && port_number(port) => host,
            _ => text,
        },
    };
    bare.parse().ok()
}

/// CloudFront's form: the address, an IPv6 one without brackets, then a colon and the port ("Add CloudFront request
/// headers", developer guide).
fn viewer(text: &str) -> Option<IpAddr> {
    let (host, port) = text.trim().rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    port_number(port).then(|| host.parse().ok()).flatten()
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(port_number)
}

fn port_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

fn prefix(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "198.51.100.9";

    fn of(forwarded_for: &str, hops: usize) -> String {
        let arrival = Arrival { peer: Some(PEER), forwarded_for: Some(forwarded_for), viewer: None };
        network(arrival, TrustedProxies::Hops(hops))
    }

    #[test]
    fn without_trusted_proxies_only_the_caller_of_the_api_counts() {
        for forwarded_for in ["", "192.0.2.1", "192.0.2.1, 198.51.100.9", "garbage"] {
            assert_eq!(of(forwarded_for, 0), PEER, "{forwarded_for}");
        }
        let viewer = Arrival { peer: Some(PEER), viewer: Some("192.0.2.1:443"), ..Arrival::default() };
        assert_eq!(network(viewer, TrustedProxies::Hops(0)), PEER);
        assert_eq!(network(viewer, TrustedProxies::Hops(1)), PEER);
    }

    #[test]
    fn the_last_untrusted_hop_counts_whatever_is_written_before_it() {
        for (forwarded_for, hops, expected) in [
            ("192.0.2.1, 198.51.100.9", 1, "192.0.2.1"),
            ("192.0.2.1,198.51.100.9", 1, "192.0.2.1"),
            // Invented by the client.
            ("203.0.113.7, 192.0.2.1, 198.51.100.9", 1, "192.0.2.1"),
            ("x, , 203.0.113.7, 192.0.2.1, 198.51.100.9", 1, "192.0.2.1"),
            ("203.0.113.7, 192.0.2.1, 10.0.0.1, 198.51.100.9", 2, "192.0.2.1"),
            // With ports, in brackets, or both.
            ("192.0.2.1:51234, 198.51.100.9", 1, "192.0.2.1"),
            ("[2001:db8:1:2:3::4]:51234, 198.51.100.9", 1, "2001:db8:1:2::/64"),
            ("[2001:db8:1:2:3::4], 198.51.100.9", 1, "2001:db8:1:2::/64"),
            ("2001:db8:1:2:3:4:5:6, 198.51.100.9", 1, "2001:db8:1:2::/64"),
            ("2001:DB8::1, 198.51.100.9", 1, "2001:db8::/64"),
            ("::ffff:192.0.2.1, 198.51.100.9", 1, "192.0.2.1"),
        ] {
            assert_eq!(of(forwarded_for, hops), expected, "{forwarded_for} {hops}");
        }
    }

    #[test]
    fn where_a_proxy_says_nothing_that_can_be_read_it_is_the_source_itself() {
        for forwarded_for in [
            "",
            // Fewer hops than are trusted: the caller came around the proxies, or they append nothing.
            "198.51.100.9",
            "unknown, 198.51.100.9",
            "_hidden, 198.51.100.9",
            "192.0.2.300, 198.51.100.9",
            "192.0.2.1:port, 198.51.100.9",
            "192.0.2.1:99999, 198.51.100.9",
            "192.0.2.1:+80, 198.51.100.9",
            "[2001:db8::1, 198.51.100.9",
            "[2001:db8::1]x, 198.51.100.9",
            "fe80::1%eth0, 198.51.100.9",
            ", 198.51.100.9",
            "192.0.2.1 203.0.113.7, 198.51.100.9",
        ] {
            assert_eq!(of(forwarded_for, 1), PEER, "{forwarded_for}");
        }
        assert_eq!(network(Arrival::default(), TrustedProxies::Hops(0)), "unknown");
        let garbage = Arrival { peer: Some("nobody"), ..Arrival::default() };
        assert_eq!(network(garbage, TrustedProxies::Hops(2)), "unknown");
    }

    #[test]
    fn cloudfront_says_the_viewer_with_a_port_and_without_brackets() {
        for (viewer, expected) in [
            ("192.0.2.1:46532", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6:46532", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::1:46532", "2001:db8:1:2::/64"),
            ("[2001:db8:1:2::1]:46532", "2001:db8:1:2::/64"),
            ("192.0.2.1", PEER),
            ("192.0.2.1:x", PEER),
            ("", PEER),
            ("garbage:1", PEER),
        ] {
            let arrival =
                Arrival { peer: Some(PEER), viewer: Some(viewer), forwarded_for: Some("203.0.113.7") };
            assert_eq!(network(arrival, TrustedProxies::CloudFront), expected, "{viewer}");
        }
    }

    #[test]
    fn a_client_has_one_network_however_many_addresses_of_its_line_it_uses() {
        let of = |peer| network(Arrival { peer: Some(peer), ..Arrival::default() }, TrustedProxies::Hops(0));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn the_setting_is_a_small_number_or_cloudfront() {
        for (text, expected) in [
            ("0", Ok(TrustedProxies::Hops(0))),
            ("8", Ok(TrustedProxies::Hops(8))),
            ("cloudfront", Ok(TrustedProxies::CloudFront)),
            ("9", Err(ACCEPTED_PROXIES)),
            ("-1", Err(ACCEPTED_PROXIES)),
            ("CloudFront", Err(ACCEPTED_PROXIES)),
            ("10.0.0.0/8", Err(ACCEPTED_PROXIES)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
    }
}
