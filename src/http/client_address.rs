//! Where a request comes from.
//!
//! What a header says about it is used only when a trusted proxy brings the request, and then only
//! as far as trusted proxies wrote it: of a chain (`X-Forwarded-For: client, proxy, proxy`, also
//! over several lines) the last address that is not a trusted proxy's own. Anybody can write the
//! front of the chain, so it is never read past that. Where it stops making sense, the last one
//! that did is the caller.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Once,
};

use axum::{
    extract::ConnectInfo,
    extract::Request,
    http::{HeaderMap, request::Parts},
};

use crate::config::LimitSettings;

/// More hops than any sane chain has; what is beyond is not looked at.
const HOPS_MAX: usize = 16;

/// The caller's address; none only where the connection has none.
pub(super) fn client_address(settings: &LimitSettings, request: &Request) -> Option<IpAddr> {
    let ConnectInfo(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
    Some(behind(settings, peer.ip(), request.headers()))
}

/// The caller's address, for an extractor.
pub(super) fn address_of(settings: &LimitSettings, parts: &Parts) -> Option<IpAddr> {
    let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(behind(settings, peer.ip(), &parts.headers))
}

fn behind(settings: &LimitSettings, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let proxies = &settings.trusted_proxies;
    let lines = headers.get_all(settings.address_header.as_str());
    let mut client = peer.to_canonical();
    if headers.contains_key(settings.address_header.as_str()) && !proxies.contain(client) {
        hint(&settings.address_header);
    }
    let hops = lines
        .iter()
        .rev()
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for hop in hops.take(HOPS_MAX) {
        if !proxies.contain(client) {
            break;
        }
        match address(hop) {
            Some(said) => client = said.to_canonical(),
            None => break,
        }
    }
    client
}

/// Said once: a proxy that nobody has named makes all customers one address, and anybody at all may
/// have written the header.
fn hint(header: &str) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!(
            header,
            "a request has {header} and does not come from a trusted proxy; if there is one, name it in ZHANGFANG_LIMITS__TRUSTED_PROXIES"
        );
    });
}

/// `192.0.2.1`, `192.0.2.1:1234`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:1234`.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(text)
        .parse()
        .ok()
        .or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn settings() -> LimitSettings {
        LimitSettings {
            trusted_proxies: "10.0.0.0/8, fd00::/8".parse().unwrap(),
            ..LimitSettings::default()
        }
    }

    fn seen(peer: &str, lines: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(line).unwrap());
        }
        behind(&settings(), peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn headers_of_an_untrusted_peer_are_ignored() {
        assert_eq!(seen("203.0.113.9", &[b"198.51.100.1"]), "203.0.113.9");
        assert_eq!(seen("203.0.113.9", &[]), "203.0.113.9");
    }

    #[test]
    fn a_trusted_proxy_is_used_as_far_as_trust_goes() {
        for (lines, client) in [
            (&[b"198.51.100.1".as_slice()][..], "198.51.100.1"),
            // The first was written by the client.
            (&[b"192.0.2.66, 198.51.100.1"], "198.51.100.1"),
            (&[b"192.0.2.66, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            (
                &[b"192.0.2.66", b"198.51.100.1", b" 10.0.0.2 "],
                "198.51.100.1",
            ),
            (
                &[b"192.0.2.66, 10.9.9.9, 198.51.100.1:4711"],
                "198.51.100.1",
            ),
            (&[b"[2001:db8::7]:4711"], "2001:db8::7"),
            (&[b"[2001:db8::7]"], "2001:db8::7"),
            (&[b"2001:db8::7"], "2001:db8::7"),
            (&[b"::ffff:198.51.100.1, fd00::2"], "198.51.100.1"),
            // Only proxies: the farthest.
            (&[b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ] {
            assert_eq!(seen("10.0.0.1", lines), client);
            assert_eq!(seen("::ffff:10.0.0.1", lines), client);
        }
    }

    #[test]
    fn what_makes_no_sense_is_not_an_address() {
        for hostile in [
            b"".as_slice(),
            b",,,,",
            b"unknown",
            b"198.51.100.1'; DROP TABLE",
            b"\xff\xfe",
            b"1.2.3.4.5",
            b"[::1",
            b"999.1.1.1",
            b"198.51.100.1, nonsense",
        ] {
            assert_eq!(seen("10.0.0.1", &[hostile]), "10.0.0.1");
        }
        let long = vec!["10.0.0.2"; 1_000].join(",");
        assert_eq!(
            seen("10.0.0.1", &[b"198.51.100.1", long.as_bytes()]),
            "10.0.0.2"
        );
    }

    #[test]
    fn the_header_is_the_configured_one() {
        let mut headers = HeaderMap::new();
        headers.insert("x-real-ip", HeaderValue::from_static("198.51.100.1"));
        headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.66"));
        let settings = LimitSettings {
            address_header: "x-real-ip".to_owned(),
            ..settings()
        };
        let peer = "10.0.0.1".parse().unwrap();
        assert_eq!(
            behind(&settings, peer, &headers).to_string(),
            "198.51.100.1"
        );
    }

    proptest! {
        #[test]
        fn nobody_outside_chooses_an_address(line in prop::collection::vec(0x20_u8..0x7f, 0..60)) {
            prop_assert_eq!(seen("203.0.113.9", &[&line]), "203.0.113.9");
            // Nor inside, beyond what the proxy appended.
            prop_assert_eq!(seen("10.0.0.1", &[&line, b"198.51.100.1"]), "198.51.100.1");
        }
    }
}
