//! Names of counters in Redis, and their descriptions for people.
//!
//! ```text
//! zf:risk:{<subject>}:s<stage>   string:     all that a subject adds up at activities of that stage, over all windows
//! zf:risk:{<subject>}:<name>     sorted set: what it has met within the window
//! ```
//!
//! A subject and a member of a set are the first 64 bits of a SHA-256 that includes the tenant:
//! neither addresses nor devices are in Redis in plain text, and tenants do not share counts.
//! (Whoever can read Redis can find IPv4 addresses by trying all of them: Redis must be as private
//! as the database.) The name of a counter depends on its definition alone, so that rules can be
//! edited, reordered and reloaded without losing counts, and processes with different files share
//! equal counters. The braces are a cluster's hash tag: all keys of a subject are on one server.

use std::{cell::OnceCell, net::IpAddr};

use aws_lc_rs::digest::{SHA256, digest};

use super::{ActivityKind, Attribute, Counter, Measure, Per, rules::Window};
use crate::{
    facts::{Facts, Stage, Subject},
    primitives::TenantId,
};

/// What the subjects and things of one activity are called: each is hashed once, however many
/// counters there are.
pub(super) struct KeyNames<'f> {
    pub(super) facts: &'f Facts,
    subjects: [OnceCell<Option<String>>; 5],
    members: [OnceCell<Option<String>>; 5],
}

impl<'f> KeyNames<'f> {
    pub(super) fn of(facts: &'f Facts) -> Self {
        Self {
            facts,
            subjects: Default::default(),
            members: Default::default(),
        }
    }

    /// Whose counter it is; none if the activity has nobody of that kind.
    pub(super) fn subject(&self, per: Per) -> Option<&str> {
        let [customer, merchant, address, device, pair] = &self.subjects;
        let cell = match per {
            Per::Customer => customer,
            Per::Merchant => merchant,
            Per::Address => address,
            Per::Device => device,
            Per::Pair => pair,
        };
        cell.get_or_init(|| subject(self.facts, per)).as_deref()
    }

    /// What is met, as a member of a set; none if the activity has no such thing.
    pub(super) fn member(&self, attribute: Attribute) -> Option<&str> {
        let [customer, merchant, address, network, device] = &self.members;
        let cell = match attribute {
            Attribute::Customer => customer,
            Attribute::Merchant => merchant,
            Attribute::Address => address,
            Attribute::Network => network,
            Attribute::Device => device,
        };
        cell.get_or_init(|| member(self.facts, attribute))
            .as_deref()
    }
}

fn subject(facts: &Facts, per: Per) -> Option<String> {
    let subject = match per {
        Per::Customer => Subject::Person(facts.customer?.id()),
        Per::Merchant => Subject::Merchant(facts.merchant?),
        Per::Address => Subject::address(facts.origin.address?),
        Per::Device => Subject::Device(facts.origin.device.clone()?),
        Per::Pair => Subject::Pair(facts.customer?, facts.merchant?),
    };
    Some(hashed(facts.tenant, &subject.key()))
}

fn member(facts: &Facts, attribute: Attribute) -> Option<String> {
    let text = match attribute {
        Attribute::Customer => Subject::Person(facts.customer?.id()).key(),
        Attribute::Merchant => Subject::Merchant(facts.merchant?).key(),
        Attribute::Address => Subject::address(facts.origin.address?).key(),
        Attribute::Network => network(facts.origin.address?),
        Attribute::Device => Subject::Device(facts.origin.device.clone()?).key(),
    };
    Some(hashed(facts.tenant, &text))
}

/// The key of all that a subject adds up at activities of `stage`.
pub(super) fn sums_key(subject: &str, stage: Stage) -> String {
    format!("zf:risk:{{{subject}}}:s{}", stage.code())
}

/// The key of one of a subject's sets.
pub(super) fn set_key(subject: &str, name: &str) -> String {
    format!("zf:risk:{{{subject}}}:{name}")
}

/// The counter's definition without its subject: `60:c2` is how often within 60 seconds, `60:c2T`
/// how often it was tried, `60:c3P` how often a payment earned points. Made once for a rule set
/// ([`CounterUsage::name`](super::CounterUsage::name)).
pub(super) fn name(counter: &Counter) -> String {
    let window = counter.within_seconds;
    let kind = match counter.of.kind {
        ActivityKind::All => "",
        ActivityKind::Payments => "P",
        ActivityKind::Awards => "A",
    };
    let tried = if counter.attempts { "T" } else { "" };
    let stage = format!("{}{kind}{tried}", counter.of.stage.code());
    let what = match counter.measure {
        Measure::Count => format!("{window}:c{stage}"),
        Measure::SumFen => format!("{window}:f{stage}"),
        Measure::SumPoints => format!("{window}:p{stage}"),
        Measure::Distinct(attribute) => format!("{window}:d{stage}{}", letter(attribute)),
        Measure::Seen(attribute) => format!("{window}:s{stage}{}", letter(attribute)),
    };
    match counter.between {
        Some((least, most)) => format!("{what},{}-{}", least.get(), most.get()),
        None => what,
    }
}

/// Whether the activity is one of those that the counter counts.
pub(super) fn is_counted_by(counter: &Counter, facts: &Facts) -> bool {
    match (counter.between, facts.amount) {
        _ if !counter.of.matches(facts) => false,
        (None, _) => true,
        (Some((least, most)), Some(amount)) => (least..=most).contains(&amount),
        (Some(_), None) => false,
    }
}

/// A counter in words: `count of payment.create per customer within 1m`.
pub fn describe_counter(counter: &Counter) -> String {
    let what = match counter.measure {
        Measure::Count => "count of".to_owned(),
        Measure::SumFen => "sum of fen of".to_owned(),
        Measure::SumPoints => "sum of points of".to_owned(),
        Measure::Distinct(attribute) => format!("different {} of", plural(attribute)),
        Measure::Seen(attribute) => format!("how often this {} was met at", attribute.name()),
    };
    let per = counter.per.in_words();
    let between = counter.between.map(|(least, most)| {
        let (least, most) = (least.get(), most.get());
        format!(" between {least} and {most} fen")
    });
    let (of, within) = (counter.of.name(), Window(counter.within_seconds));
    let of = if counter.attempts {
        format!("attempts at {of}")
    } else {
        of.to_owned()
    };
    let between = between.unwrap_or_default();
    format!("{what} {of}{between} per {per} within {within}")
}

const fn letter(attribute: Attribute) -> char {
    match attribute {
        Attribute::Customer => 'c',
        Attribute::Merchant => 's',
        Attribute::Address => 'a',
        Attribute::Network => 'n',
        Attribute::Device => 'd',
    }
}

const fn plural(attribute: Attribute) -> &'static str {
    match attribute {
        Attribute::Customer => "customers",
        Attribute::Merchant => "merchants",
        Attribute::Address => "addresses",
        Attribute::Network => "networks",
        Attribute::Device => "devices",
    }
}

/// The first 24 bits of an IPv4 address, the first 48 of an IPv6 address.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("network4:{:x}", address.to_bits() >> 8),
        IpAddr::V6(address) => format!("network6:{:x}", address.to_bits() >> 80),
    }
}

fn hashed(tenant: TenantId, text: &str) -> String {
    let whole = digest(&SHA256, format!("{}:{text}", tenant.0).as_bytes());
    hex::encode(whole.as_ref().get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::Device,
        primitives::{CustomerId, Id, MerchantId, Money, Timestamp},
        risk::ActivityFilter,
    };

    fn facts() -> Facts {
        let mut facts = Facts::new(
            Stage::PaymentCreate,
            TenantId(1),
            Timestamp::from_micros(1_800_000_000_000_000),
        );
        facts.customer = Some(CustomerId::new(Id::from_bytes([1; 16])));
        facts.merchant = Some(MerchantId::new(Id::from_bytes([2; 16])));
        facts.origin.address = Some("203.0.113.7".parse().unwrap());
        facts.origin.device = Some(Device::parse("phone-1").unwrap());
        facts
    }

    fn counter(measure: Measure) -> Counter {
        Counter {
            measure,
            of: ActivityFilter::all(Stage::PaymentCreate),
            attempts: false,
            per: Per::Customer,
            within_seconds: 60,
            between: None,
        }
    }

    #[test]
    fn every_subject_and_member_has_a_key_of_its_own_that_cannot_be_read() {
        let facts = facts();
        let pers = [
            Per::Customer,
            Per::Merchant,
            Per::Address,
            Per::Device,
            Per::Pair,
        ];
        let attributes = [
            Attribute::Customer,
            Attribute::Merchant,
            Attribute::Address,
            Attribute::Network,
            Attribute::Device,
        ];
        let subjects: std::collections::BTreeSet<_> = pers
            .iter()
            .map(|per| subject(&facts, *per).unwrap())
            .collect();
        let members: std::collections::BTreeSet<_> = attributes
            .iter()
            .map(|attribute| member(&facts, *attribute).unwrap())
            .collect();
        assert_eq!((subjects.len(), members.len()), (5, 5));
        for name in subjects.iter().chain(&members) {
            assert_eq!(name.len(), 16, "{name}");
            assert!(hex::decode(name).is_ok(), "{name}");
        }
        let mut elsewhere = facts.clone();
        elsewhere.tenant = TenantId(2);
        for per in pers {
            assert_ne!(subject(&facts, per), subject(&elsewhere, per));
        }
    }

    #[test]
    fn what_an_activity_does_not_have_has_no_counter() {
        let bare = Facts::new(Stage::Login, TenantId(1), Timestamp::from_micros(0));
        for per in [
            Per::Customer,
            Per::Merchant,
            Per::Address,
            Per::Device,
            Per::Pair,
        ] {
            assert_eq!(subject(&bare, per), None);
        }
        for attribute in [Attribute::Customer, Attribute::Network, Attribute::Device] {
            assert_eq!(member(&bare, attribute), None);
        }
    }

    #[test]
    fn a_network_is_24_bits_or_48() {
        let of = |text: &str| {
            let mut facts = facts();
            facts.origin.address = Some(text.parse().unwrap());
            member(&facts, Attribute::Network)
        };
        assert_eq!(of("203.0.113.7"), of("203.0.113.250"));
        assert_eq!(of("203.0.113.7"), of("::ffff:203.0.113.9"));
        assert_ne!(of("203.0.113.7"), of("203.0.114.7"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:2:2::1"));
    }

    #[test]
    fn a_name_says_what_is_counted_and_nothing_of_the_rule() {
        let mut counter = counter(Measure::Count);
        assert_eq!(name(&counter), "60:c2");
        assert_eq!(
            describe_counter(&counter),
            "count of payment.create per customer within 1m"
        );
        counter.between = Some((Money::parse(900).unwrap(), Money::parse(999).unwrap()));
        assert_eq!(name(&counter), "60:c2,900-999");
        assert!(describe_counter(&counter).contains("between 900 and 999 fen"));
        assert_eq!(sums_key("ab", Stage::Refund), "zf:risk:{ab}:s5");
        counter.between = None;
        counter.measure = Measure::Distinct(Attribute::Network);
        assert_eq!(set_key("ab", &name(&counter)), "zf:risk:{ab}:60:d2n");
    }

    #[test]
    fn names_distinguish_kinds_of_activities_and_attempts() {
        let mut names = std::collections::BTreeSet::new();
        for of in ActivityFilter::ALL {
            for attempts in [false, true] {
                for measure in [Measure::Count, Measure::Distinct(Attribute::Address)] {
                    let counter = Counter {
                        of,
                        attempts,
                        ..counter(measure)
                    };
                    names.insert(name(&counter));
                    let words = describe_counter(&counter);
                    assert_eq!(words.contains("attempts at "), attempts, "{words}");
                    assert!(words.contains(of.name()), "{words}");
                }
            }
        }
        assert_eq!(names.len(), 28);
    }

    #[test]
    fn an_activity_of_another_amount_or_kind_or_of_none_does_not_count() {
        let mut counter = counter(Measure::Count);
        let is_counted_by = |counter: &Counter, amount: Option<i64>| {
            let amount = amount.map(|fen| Money::parse(fen).unwrap());
            let facts = Facts { amount, ..facts() };
            super::is_counted_by(counter, &facts)
        };
        assert!(is_counted_by(&counter, None) && is_counted_by(&counter, Some(1)));
        counter.between = Some((Money::parse(900).unwrap(), Money::parse(999).unwrap()));
        for (amount, expected) in [
            (Some(899), false),
            (Some(900), true),
            (Some(999), true),
            (Some(1_000), false),
            (None, false),
        ] {
            assert_eq!(is_counted_by(&counter, amount), expected, "{amount:?}");
        }
        counter.of = ActivityFilter::all(Stage::Refund);
        assert!(!is_counted_by(&counter, Some(900)));
    }

    #[test]
    fn payments_and_awards_are_distinguished_where_points_are_credited() {
        let by = |source: Option<&str>| Facts {
            stage: Stage::PointsCredit,
            source: source.map(str::to_owned),
            ..facts()
        };
        for (of, by_payment, by_award) in [
            (ActivityFilter::all(Stage::PointsCredit), true, true),
            (ActivityFilter::PAYMENTS, true, false),
            (ActivityFilter::AWARDS, false, true),
            (ActivityFilter::all(Stage::Redeem), false, false),
        ] {
            assert_eq!(of.matches(&by(None)), by_payment, "{of:?}");
            assert_eq!(of.matches(&by(Some("crm"))), by_award, "{of:?}");
        }
    }
}
