//! Lists of customers, shops, devices or addresses, made to be searched.

use std::{
    collections::HashSet,
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use crate::{
    facts::{Device, Facts},
    primitives::{CustomerId, MerchantId},
};

/// `Debug` shows its name and length alone: what is in it are people and their addresses.
pub(crate) struct List {
    pub(crate) name: String,
    pub(crate) members: Members,
}

pub(crate) enum Members {
    Customers(HashSet<CustomerId>),
    Shops(HashSet<MerchantId>),
    Devices(HashSet<Device>),
    Addresses(Ranges),
}

impl List {
    /// Whether the deed's customer, shop, device or address is in it. One that is not known is not.
    pub(crate) fn contains(&self, facts: &Facts) -> bool {
        match &self.members {
            Members::Customers(set) => facts.customer.is_some_and(|id| set.contains(&id)),
            Members::Shops(set) => facts.merchant.is_some_and(|id| set.contains(&id)),
            Members::Devices(set) => {
                let device = facts.origin.device.as_ref();
                device.is_some_and(|device| set.contains(device))
            }
            Members::Addresses(ranges) => {
                let address = facts.origin.address;
                address.is_some_and(|address| ranges.contains(address))
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.members {
            Members::Customers(set) => set.len(),
            Members::Shops(set) => set.len(),
            Members::Devices(set) => set.len(),
            Members::Addresses(Ranges(ranges)) => ranges.len(),
        }
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List")
            .field("name", &self.name)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Ranges of addresses, first and last, sorted and apart from each other. An IPv4 address is in them as its IPv6 form (`::ffff:a.b.c.d`).
pub(crate) struct Ranges(Vec<(u128, u128)>);

/// Text that names no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RangeError {
    #[error(
        "an address (203.0.113.7), a network (203.0.113.0/24) or two addresses with a - between them are needed"
    )]
    Unreadable,
    #[error("the last address comes before the first")]
    Backwards,
    #[error("the network begins at {0}: write {0}/{1}")]
    NotTheStart(IpAddr, u8),
}

impl Ranges {
    pub(crate) fn new(mut ranges: Vec<(u128, u128)>) -> Self {
        ranges.sort_unstable();
        let mut apart: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match apart.last_mut() {
                Some((_, end)) if first <= *end => *end = last.max(*end),
                Some(_) | None => apart.push((first, last)),
            }
        }
        Self(apart)
    }

    fn contains(&self, address: IpAddr) -> bool {
        let address = number(address);
        let after = self.0.partition_point(|(first, _)| *first <= address);
        let range = after.checked_sub(1).and_then(|index| self.0.get(index));
        range.is_some_and(|(_, last)| address <= *last)
    }
}

/// The first and last of what `text` names.
pub(crate) fn range(text: &str) -> Result<(u128, u128), RangeError> {
    let read = |text: &str| {
        text.trim()
            .parse::<IpAddr>()
            .map_err(|_| RangeError::Unreadable)
    };
    if let Some((address, bits)) = text.split_once('/') {
        let address = read(address)?;
        let width: u8 = if address.is_ipv4() { 32 } else { 128 };
        let digits = bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits = bits
            .parse::<u8>()
            .ok()
            .filter(|bits| digits && *bits <= width);
        let free = width - bits.ok_or(RangeError::Unreadable)?;
        let hosts = if free == 128 {
            u128::MAX
        } else {
            (1 << free) - 1
        };
        let at = number(address);
        let first = at & !hosts;
        if first != at {
            let start = Ipv6Addr::from_bits(first).to_canonical();
            return Err(RangeError::NotTheStart(start, width - free));
        }
        return Ok((first, first | hosts));
    }
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (read(first)?, read(last)?),
        None => (read(text)?, read(text)?),
    };
    if first.is_ipv4() != last.is_ipv4() {
        return Err(RangeError::Unreadable);
    }
    let (first, last) = (number(first), number(last));
    if last < first {
        return Err(RangeError::Backwards);
    }
    Ok((first, last))
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_end_where_they_say() {
        let texts = [
            "203.0.113.0/24",
            "198.51.100.5-198.51.100.9",
            "198.51.100.8 - 198.51.100.20",
            "192.0.2.7",
            "2001:db8::/32",
        ];
        let ranges = Ranges::new(texts.iter().map(|text| range(text).unwrap()).collect());
        for (address, inside) in [
            ("203.0.112.255", false),
            ("203.0.113.0", true),
            ("203.0.113.255", true),
            ("203.0.114.0", false),
            ("::ffff:203.0.113.9", true),
            ("198.51.100.4", false),
            ("198.51.100.5", true),
            ("198.51.100.20", true),
            ("198.51.100.21", false),
            ("192.0.2.6", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db7:ffff::", false),
            ("2001:db8::", true),
            ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true),
            ("2001:db9::", false),
        ] {
            assert_eq!(ranges.contains(at(address)), inside, "{address}");
        }
    }

    #[test]
    fn everything_is_a_range_too() {
        let every = Ranges::new(vec![range("0.0.0.0/0").unwrap()]);
        assert!(every.contains(at("255.255.255.255")) && !every.contains(at("2001:db8::1")));
        assert!(Ranges::new(vec![range("::/0").unwrap()]).contains(at("2001:db8::1")));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for bad in [
            "",
            "203.0.113",
            "203.0.113.0/33",
            "2001:db8::/129",
            "203.0.113.0/-1",
            "203.0.113.0/+8",
            "203.0.113.0/",
            "203.0.113.0/24/8",
            "a-b",
            "203.0.113.1-2001:db8::",
            "203.0.113.256",
            "localhost",
        ] {
            assert_eq!(range(bad), Err(RangeError::Unreadable), "{bad}");
        }
        assert_eq!(range("203.0.113.9-203.0.113.1"), Err(RangeError::Backwards));
        let wrong = range("203.0.113.7/24").unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "the network begins at 203.0.113.0: write 203.0.113.0/24"
        );
    }
}
