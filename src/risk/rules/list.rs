//! Lists of customers, merchants, devices or addresses, in a searchable form.

use std::{
    collections::HashSet,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
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
    Merchants(HashSet<MerchantId>),
    Devices(HashSet<Device>),
    Addresses(AddressRanges),
}

impl List {
    /// Whether the activity's customer, merchant, device or address is in it. One that is not known
    /// is not.
    pub(crate) fn contains(&self, facts: &Facts) -> bool {
        match &self.members {
            Members::Customers(set) => facts.customer.is_some_and(|id| set.contains(&id)),
            Members::Merchants(set) => facts.merchant.is_some_and(|id| set.contains(&id)),
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
            Members::Merchants(set) => set.len(),
            Members::Devices(set) => set.len(),
            Members::Addresses(ranges) => ranges.len(),
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

/// Ranges of addresses, first and last, sorted and apart from each other: those of each family by
/// themselves, so that no IPv6 network, however wide, has an IPv4 address in it. An IPv4 address
/// that is written as IPv6 (`::ffff:a.b.c.d`) is the IPv4 address, in a file and of a caller.
pub(crate) struct AddressRanges {
    v4: Vec<(u128, u128)>,
    v6: Vec<(u128, u128)>,
}

/// The first and the last address of a range, both of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AddressRange {
    family: Family,
    first: u128,
    last: u128,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

/// Text that names no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressRangeError {
    #[error(
        "an address (203.0.113.7), a network (203.0.113.0/24) or two addresses with a - between them are needed"
    )]
    Unreadable,
    #[error("the last address comes before the first")]
    Backwards,
    #[error("the network begins at {0}: write {0}/{1}")]
    NotTheStart(IpAddr, u8),
    #[error(
        "these are IPv4 addresses in IPv6's writing, and more: write IPv4 networks (0.0.0.0/0 is all of them) and IPv6 networks apart"
    )]
    Mixed,
}

impl AddressRanges {
    pub(crate) fn new(ranges: &[AddressRange]) -> Self {
        let of = |family| {
            let those = ranges.iter().filter(|range| range.family == family);
            merge_overlapping(those.map(|range| (range.first, range.last)).collect())
        };
        Self {
            v4: of(Family::V4),
            v6: of(Family::V6),
        }
    }

    fn len(&self) -> usize {
        self.v4.len().saturating_add(self.v6.len())
    }

    fn contains(&self, address: IpAddr) -> bool {
        let (family, address) = number(address);
        let ranges = match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        let after = ranges.partition_point(|(first, _)| *first <= address);
        let range = after.checked_sub(1).and_then(|index| ranges.get(index));
        range.is_some_and(|(_, last)| address <= *last)
    }
}

/// Returns the ranges sorted and merged, so that none touches another.
fn merge_overlapping(mut ranges: Vec<(u128, u128)>) -> Vec<(u128, u128)> {
    ranges.sort_unstable();
    let mut merge_overlapping: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merge_overlapping.last_mut() {
            Some((_, end)) if first <= *end => *end = last.max(*end),
            Some(_) | None => merge_overlapping.push((first, last)),
        }
    }
    merge_overlapping
}

/// What `text` names.
pub(crate) fn parse_range(text: &str) -> Result<AddressRange, AddressRangeError> {
    let read = |text: &str| {
        text.trim()
            .parse::<IpAddr>()
            .map_err(|_| AddressRangeError::Unreadable)
    };
    if let Some((address, bits)) = text.split_once('/') {
        let written = read(address)?;
        let digits = bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits = bits.parse::<u8>().ok().filter(|_| digits);
        return network(written, bits.ok_or(AddressRangeError::Unreadable)?);
    }
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (read(first)?, read(last)?),
        None => (read(text)?, read(text)?),
    };
    if first.is_ipv4() != last.is_ipv4() {
        return Err(AddressRangeError::Unreadable);
    }
    let ((family, first), (other, last)) = (number(first), number(last));
    if family != other {
        return Err(AddressRangeError::Mixed);
    }
    if last < first {
        return Err(AddressRangeError::Backwards);
    }
    Ok(AddressRange {
        family,
        first,
        last,
    })
}

/// The network of this address with so many leading bits, as they were written.
fn network(written: IpAddr, bits: u8) -> Result<AddressRange, AddressRangeError> {
    let width: u8 = if written.is_ipv4() { 32 } else { 128 };
    if bits > width {
        return Err(AddressRangeError::Unreadable);
    }
    let (family, at) = number(written);
    let (width, bits) = match (family, written) {
        (Family::V4, IpAddr::V6(_)) => (32, bits.checked_sub(96).ok_or(AddressRangeError::Mixed)?),
        (Family::V4, IpAddr::V4(_)) | (Family::V6, _) => (width, bits),
    };
    let hosts = match width - bits {
        128 => u128::MAX,
        free => (1 << free) - 1,
    };
    let first = at & !hosts;
    if first != at {
        return Err(AddressRangeError::NotTheStart(address(family, first), bits));
    }
    Ok(AddressRange {
        family,
        first,
        last: first | hosts,
    })
}

fn number(address: IpAddr) -> (Family, u128) {
    match address.to_canonical() {
        IpAddr::V4(address) => (Family::V4, address.to_bits().into()),
        IpAddr::V6(address) => (Family::V6, address.to_bits()),
    }
}

fn address(family: Family, number: u128) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        Family::V6 => Ipv6Addr::from_bits(number).into(),
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
        let ranges = AddressRanges::new(&texts.map(|text| parse_range(text).unwrap()));
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
        let every = AddressRanges::new(&[parse_range("0.0.0.0/0").unwrap()]);
        assert!(every.contains(at("255.255.255.255")) && !every.contains(at("2001:db8::1")));
        let six = AddressRanges::new(&[parse_range("::/0").unwrap()]);
        assert!(six.contains(at("2001:db8::1")));
        for address in ["192.0.2.9", "::ffff:192.0.2.9"] {
            assert!(!six.contains(at(address)), "{address}");
        }
        let across = AddressRanges::new(&[parse_range(":: - ::ffff:ffff:ffff:ffff").unwrap()]);
        assert!(across.contains(at("::1")) && !across.contains(at("192.0.2.9")));
    }

    #[test]
    fn an_ipv4_address_is_one_however_it_is_written() {
        for text in [
            "::ffff:192.0.2.0/120",
            "::ffff:192.0.2.0 - ::ffff:192.0.2.255",
            "192.0.2.0/24",
        ] {
            assert_eq!(
                parse_range(text),
                parse_range("192.0.2.0-192.0.2.255"),
                "{text}"
            );
        }
        assert_eq!(parse_range("::ffff:0:0/96"), parse_range("0.0.0.0/0"));
        assert_eq!(parse_range("::ffff:192.0.2.7"), parse_range("192.0.2.7"));
        for text in [
            "::ffff:0:0/95",
            "::ffff:192.0.2.0/24",
            "::1 - ::ffff:192.0.2.7",
        ] {
            assert_eq!(parse_range(text), Err(AddressRangeError::Mixed), "{text}");
        }
        let start = parse_range("::ffff:192.0.2.7/120").unwrap_err();
        assert_eq!(
            start.to_string(),
            "the network begins at 192.0.2.0: write 192.0.2.0/24"
        );
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
            assert_eq!(
                parse_range(bad),
                Err(AddressRangeError::Unreadable),
                "{bad}"
            );
        }
        assert_eq!(
            parse_range("203.0.113.9-203.0.113.1"),
            Err(AddressRangeError::Backwards)
        );
        let wrong = parse_range("203.0.113.7/24").unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "the network begins at 203.0.113.0: write 203.0.113.0/24"
        );
    }
}
