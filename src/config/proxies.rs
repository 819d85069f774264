//! Trusted proxies: who may say from which address a caller comes.

use std::{net::IpAddr, str::FromStr};

/// The proxies in front of us, as addresses and networks. An IPv4 address that is written as IPv6
/// (`::ffff:10.0.0.1`) is the IPv4 address, here and of a caller; no IPv6 network has any in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

/// An address and how many of its leading bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix_bits: u32,
}

/// One of the list is neither an address nor a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a list of addresses and networks")]
pub struct InvalidProxies;

impl TrustedProxies {
    /// Whether the address is one of theirs. An IPv4 address that is written as IPv6 is the IPv4
    /// address.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }
}

/// Separated by commas: `10.0.0.0/8, 192.0.2.7, fd00::/8`.
impl FromStr for TrustedProxies {
    type Err = InvalidProxies;

    fn from_str(text: &str) -> Result<Self, InvalidProxies> {
        let all: Result<_, _> = text.split(',').map(|one| one.trim().parse()).collect();
        all.map(Self)
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let rest = 32_u32.saturating_sub(self.prefix_bits);
                (ours.to_bits() ^ theirs.to_bits())
                    .checked_shr(rest)
                    .unwrap_or(0)
                    == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let rest = 128_u32.saturating_sub(self.prefix_bits);
                (ours.to_bits() ^ theirs.to_bits())
                    .checked_shr(rest)
                    .unwrap_or(0)
                    == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = InvalidProxies;

    fn from_str(text: &str) -> Result<Self, InvalidProxies> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| InvalidProxies)?;
        let whole: u32 = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let prefix_bits = match bits {
            Some(bits) => bits.parse().map_err(|_| InvalidProxies)?,
            None => whole,
        };
        if prefix_bits > whole {
            return Err(InvalidProxies);
        }
        let canonical = address.to_canonical();
        if canonical.is_ipv4() == address.is_ipv4() {
            return Ok(Self {
                address,
                prefix_bits,
            });
        }
        Ok(Self {
            address: canonical,
            // One that is wider holds more than IPv4 addresses: nobody can have meant it.
            prefix_bits: prefix_bits.checked_sub(96).ok_or(InvalidProxies)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_are_distinguished() {
        let proxies: TrustedProxies = "10.0.0.0/8, 192.0.2.7,fd00::/8, 2001:db8::1"
            .parse()
            .unwrap();
        for (address, trusted) in [
            ("10.1.2.3", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.6", false),
            ("::ffff:10.1.2.3", true),
            ("fd12::1", true),
            ("fe80::1", false),
            ("2001:db8::1", true),
            ("2001:db8::2", false),
        ] {
            assert_eq!(
                proxies.contain(address.parse().unwrap()),
                trusted,
                "{address}"
            );
        }
        let everybody: TrustedProxies = "0.0.0.0/0,::/0".parse().unwrap();
        assert!(everybody.contain("203.0.113.9".parse().unwrap()));
        assert!(everybody.contain("2001:db8::9".parse().unwrap()));
        assert!(!TrustedProxies::default().contain("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn an_ipv4_proxy_is_one_however_it_is_written_and_in_no_ipv6_network() {
        for text in ["::ffff:10.0.0.0/104", "::ffff:10.1.2.3", "10.0.0.0/8"] {
            let proxies: TrustedProxies = text.parse().unwrap();
            for address in ["10.1.2.3", "::ffff:10.1.2.3"] {
                assert!(proxies.contain(address.parse().unwrap()), "{text}");
            }
            assert!(!proxies.contain("11.1.2.3".parse().unwrap()), "{text}");
        }
        let six: TrustedProxies = "::/0".parse().unwrap();
        for address in ["192.0.2.9", "::ffff:192.0.2.9"] {
            assert!(!six.contain(address.parse().unwrap()), "{address}");
        }
        for bad in ["::ffff:10.0.0.0/8", "::ffff:0:0/95"] {
            assert_eq!(bad.parse::<TrustedProxies>(), Err(InvalidProxies), "{bad}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in [
            "",
            "10.0.0.0/33",
            "proxy.example.com",
            "10.0.0.1,",
            "::1/129",
            "10.0.0.0/-1",
        ] {
            assert_eq!(bad.parse::<TrustedProxies>(), Err(InvalidProxies), "{bad}");
        }
    }
}
