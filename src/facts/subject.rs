//! Whose requests are counted together.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use super::Device;
use crate::primitives::{CustomerId, Id, MerchantId, TenantId};

/// Somebody, as far as a limit cares. `Debug` shows the kind alone: an address is personal data.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A customer or one of a merchant's staff.
    Person(Id),
    Operator {
        tenant: TenantId,
        name: String,
    },
    Merchant(MerchantId),
    Address(Network),
    Device(Device),
    /// A customer at a merchant.
    Pair(CustomerId, MerchantId),
}

/// An IPv4 address, or the first 64 bits of an IPv6 address: what one subscriber has, and can roam
/// in at will.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Subject {
    /// Whoever calls from there.
    pub fn address(address: IpAddr) -> Self {
        Self::Address(Network(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64 << 64;
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
        }))
    }

    /// The last part of its keys in Redis, where they stay for the quota's period at most.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Person(id) => format!("person:{id}"),
            Self::Operator { tenant, name } => format!("operator:{tenant}:{name}"),
            Self::Merchant(id) => format!("merchant:{id}"),
            Self::Address(Network(address)) => format!("address:{address}"),
            Self::Device(device) => format!("device:{}", device.as_str()),
            Self::Pair(customer, merchant) => format!("pair:{customer}:{merchant}"),
        }
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Person(_) => "Person",
            Self::Operator { .. } => "Operator",
            Self::Merchant(_) => "Merchant",
            Self::Address(_) => "Address",
            Self::Device(_) => "Device",
            Self::Pair(..) => "Pair",
        })
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_subscriber_is_one_subject() {
        let of = |text: &str| Subject::address(text.parse().unwrap());
        assert_eq!(of("203.0.113.7"), of("::ffff:203.0.113.7"));
        assert_ne!(of("203.0.113.7"), of("203.0.113.8"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("2001:db8:1:2::1").key(), "address:2001:db8:1:2::");
        assert_eq!(format!("{:?}", of("203.0.113.7")), "Address");
    }
}
