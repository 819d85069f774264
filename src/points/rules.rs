//! The versions of a tenant's points rule, and which of them is in force for a merchant at an
//! instant. Pure.
//!
//! Versions are numbered per tenant, so tenant and version identify one. Among the versions for a
//! merchant that have begun, the one with the latest (`effective_from`, version) decides. If it
//! says "as the tenant", or if there is none, the tenant's own versions decide in the same way.
//!
//! | version | for | says | begins | in force at 12:00 | at 14:00 | at 16:00 | at 18:00 |
//! |---|---|---|---|---|---|---|---|
//! | 1 | tenant | 1 point per yuan | 10:00 | elsewhere | | | |
//! | 2 | merchant A | 3 points | 11:00 | at A | at A | | |
//! | 3 | tenant | 2 points | 13:00 | | elsewhere | everywhere | elsewhere |
//! | 4 | merchant A | as the tenant | 15:00 | | | (so A has 3) | |
//! | 5 | merchant A | 5 points | 17:00 | | | | |
//! | 6 | merchant A | 4 points | 17:00 | | | | at A |
//!
//! Version 6 replaces version 5 before that begins: a planned change is replaced by planning
//! another one for the same instant. A change that begins now ends what is in force, but not what
//! is planned for later.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{Rule, RuleTerms};
use crate::primitives::{MerchantId, TenantId, Timestamp, coded};

/// One version as it stands in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleVersion {
    pub tenant: TenantId,
    pub version: u32,
    /// None: every merchant of the tenant without a rule of its own.
    pub merchant: Option<MerchantId>,
    /// None: from here on the tenant's rule decides.
    pub terms: Option<RuleTerms>,
    pub effective_from: Timestamp,
    pub created_at: Timestamp,
}

impl RuleVersion {
    /// Returns the rule, or none if the version says "as the tenant".
    pub fn rule(&self) -> Option<Rule> {
        Some(Rule {
            tenant: self.tenant,
            version: self.version,
            merchant: self.merchant,
            terms: self.terms?,
            effective_from: self.effective_from,
            created_at: self.created_at,
        })
    }

    fn order(&self) -> (Timestamp, u32) {
        (self.effective_from, self.version)
    }
}

/// Why a rule is the one in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    OfTheMerchant,
    /// The merchant has no rule of its own, or no merchant was named.
    OfTheTenant,
    /// This version withdrew the merchant's rule.
    Withdrawn {
        version: u32,
    },
}

/// The rule for one merchant at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce {
    pub rule: Rule,
    pub because: Because,
}

/// A tenant's versions in memory: what is in force, what will be, and what was a moment ago.
#[derive(Debug, Clone)]
pub struct Rules {
    newest: u32,
    /// The instant from which on the answers are right; none: always.
    since: Option<Timestamp>,
    /// Credits payments from before the first version, which occur when clocks differ.
    earliest: Rule,
    of_tenant: Timeline,
    of_merchants: HashMap<MerchantId, Timeline>,
}

/// Versions for one merchant or for the tenant, in the order in which they take over. Shared, so
/// that a change of one merchant copies no other timeline.
type Timeline = Arc<[RuleVersion]>;

impl Rules {
    /// Returns none if no version is the tenant's own.
    pub fn new(versions: Vec<RuleVersion>) -> Option<Self> {
        let own = versions.iter().filter(|version| version.merchant.is_none());
        let earliest = own.filter_map(RuleVersion::rule).min_by_key(begin)?;
        let nothing = Self {
            newest: 0,
            since: None,
            earliest,
            of_tenant: Arc::default(),
            of_merchants: HashMap::new(),
        };
        Some(nothing.with(versions))
    }

    /// Returns the rules with `news` added.
    pub(super) fn with(&self, news: Vec<RuleVersion>) -> Self {
        let mut next = self.clone();
        let mut by_scope: HashMap<Option<MerchantId>, Vec<RuleVersion>> = HashMap::new();
        for version in news {
            next.newest = next.newest.max(version.version);
            by_scope.entry(version.merchant).or_default().push(version);
        }
        for (merchant, mut versions) in by_scope {
            let timeline = match merchant {
                Some(merchant) => next.of_merchants.entry(merchant).or_default(),
                None => &mut next.of_tenant,
            };
            versions.extend(timeline.iter());
            versions.sort_unstable_by_key(RuleVersion::order);
            *timeline = versions.into();
        }
        next
    }

    /// Drops what had been replaced by `since`. Answers for that instant and later ones stay the
    /// same.
    #[must_use]
    pub(super) fn forgetting_before(mut self, since: Timestamp) -> Self {
        let timelines = self.of_merchants.values_mut().chain([&mut self.of_tenant]);
        for timeline in timelines {
            let begun = timeline.partition_point(|version| version.effective_from <= since);
            if begun > 1 {
                *timeline = timeline
                    .iter()
                    .skip(begun.saturating_sub(1))
                    .copied()
                    .collect();
            }
        }
        let earliest = self.of_tenant.first().and_then(RuleVersion::rule);
        self.earliest = earliest.unwrap_or(self.earliest);
        self.since = self.since.max(Some(since));
        self
    }

    /// Returns whether every version that could be in force at this instant is known.
    #[must_use]
    pub fn know(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= at)
    }

    /// Returns the highest version known.
    pub const fn newest(&self) -> u32 {
        self.newest
    }

    /// Returns the rule that credits a payment at this merchant at this instant; without a
    /// merchant, the tenant's own.
    pub fn in_force(&self, merchant: Option<MerchantId>, at: Timestamp) -> InForce {
        let own = merchant.and_then(|merchant| latest(self.timeline(Some(merchant)), at));
        let because = match own {
            Some(own) => match own.rule() {
                Some(rule) => {
                    return InForce {
                        rule,
                        because: Because::OfTheMerchant,
                    };
                }
                None => Because::Withdrawn {
                    version: own.version,
                },
            },
            None => Because::OfTheTenant,
        };
        let rule = latest(&self.of_tenant, at).and_then(RuleVersion::rule);
        InForce {
            rule: rule.unwrap_or(self.earliest),
            because,
        }
    }

    /// Returns every known rule that may be in force for this merchant at some time. They are few,
    /// as what was replaced is forgotten.
    pub fn candidates(&self, merchant: MerchantId) -> impl Iterator<Item = Rule> {
        let own = self.timeline(Some(merchant)).iter();
        own.chain(self.of_tenant.iter())
            .filter_map(RuleVersion::rule)
    }

    /// Returns the versions that begin after `at`, for this merchant alone or for the tenant alone,
    /// soonest first.
    pub fn scheduled(
        &self,
        merchant: Option<MerchantId>,
        at: Timestamp,
    ) -> impl Iterator<Item = &RuleVersion> {
        let timeline = self.timeline(merchant);
        let later = timeline
            .iter()
            .filter(move |version| version.effective_from > at);
        later.filter(|version| self.takes_over(version))
    }

    /// Returns the standing of a version at an instant, among the versions of its merchant or
    /// tenant.
    pub fn stands(&self, version: &RuleVersion, at: Timestamp) -> RuleStanding {
        if version.effective_from > at {
            let replaced = !self.takes_over(version);
            return if replaced {
                RuleStanding::Replaced
            } else {
                RuleStanding::Scheduled
            };
        }
        let now = latest(self.timeline(version.merchant), at);
        if now.is_some_and(|now| now.version == version.version) {
            RuleStanding::InForce
        } else {
            RuleStanding::Replaced
        }
    }

    /// Returns the versions that were in force for this merchant between two instants, both
    /// included.
    pub fn in_force_between(
        &self,
        merchant: MerchantId,
        from: Timestamp,
        to: Timestamp,
    ) -> BTreeSet<u32> {
        let timelines = [self.timeline(Some(merchant)), &self.of_tenant];
        let changes = timelines.into_iter().flatten();
        let changes = changes.map(|version| version.effective_from);
        let changes = changes.filter(|at| (from..=to).contains(at));
        let instants = changes.chain([from]);
        instants
            .map(|at| self.in_force(Some(merchant), at).rule.version)
            .collect()
    }

    fn timeline(&self, merchant: Option<MerchantId>) -> &[RuleVersion] {
        match merchant {
            Some(merchant) => self.of_merchants.get(&merchant).map_or(&[], |known| known),
            None => &self.of_tenant,
        }
    }

    /// Returns false for a version that a later one with the same `effective_from` replaces.
    fn takes_over(&self, version: &RuleVersion) -> bool {
        let same = self.timeline(version.merchant).iter();
        !same
            .filter(|other| other.effective_from == version.effective_from)
            .any(|other| other.version > version.version)
    }
}

coded! {
    /// The standing of a version in the history of its merchant or tenant.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum RuleStanding {
        Scheduled => "scheduled",
        InForce => "in_force",
        Replaced => "replaced",
    }
}

fn begin(rule: &Rule) -> (Timestamp, u32) {
    (rule.effective_from, rule.version)
}

/// Returns the last version of a timeline that has begun.
fn latest(timeline: &[RuleVersion], at: Timestamp) -> Option<&RuleVersion> {
    let begun = timeline.partition_point(|version| version.effective_from <= at);
    timeline.get(begun.checked_sub(1)?)
}

/// Returns rules of one version of the tenant's own, for tests without a database.
#[cfg(test)]
pub(crate) fn one_rule(tenant: TenantId, version: u32, terms: RuleTerms) -> Arc<Rules> {
    let only = RuleVersion {
        tenant,
        version,
        merchant: None,
        terms: Some(terms),
        effective_from: Timestamp::from_micros(0),
        created_at: Timestamp::from_micros(0),
    };
    Arc::new(Rules::new(vec![only]).expect("one version of the tenant's own"))
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "an overflow fails the test, as it should"
)]
mod tests {
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    use super::*;
    use crate::primitives::Id;

    fn merchant_id(number: u8) -> MerchantId {
        MerchantId::new(Id::from_bytes([number; 16]))
    }

    fn hour(hour: i64) -> Timestamp {
        Timestamp::from_micros(hour * 3_600_000_000)
    }

    /// `points`: per yuan; none: as the tenant.
    fn version(
        version: u32,
        merchant: Option<u8>,
        points: Option<i64>,
        begins: i64,
    ) -> RuleVersion {
        RuleVersion {
            tenant: TenantId(1),
            version,
            merchant: merchant.map(merchant_id),
            terms: points.map(|points| RuleTerms {
                ratio: Decimal::from(points),
                ..RuleTerms::default()
            }),
            effective_from: hour(begins),
            created_at: hour(0),
        }
    }

    fn table() -> Vec<RuleVersion> {
        vec![
            version(1, None, Some(1), 10),
            version(2, Some(1), Some(3), 11),
            version(3, None, Some(2), 13),
            version(4, Some(1), None, 15),
            version(5, Some(1), Some(5), 17),
            version(6, Some(1), Some(4), 17),
        ]
    }

    #[test]
    fn the_table_above_is_what_happens() {
        let rules = Rules::new(table()).unwrap();
        let at = |merchant, at| {
            let now = rules.in_force(Some(merchant_id(merchant)), hour(at));
            (now.rule.version, now.because)
        };
        assert_eq!(at(1, 12), (2, Because::OfTheMerchant));
        assert_eq!(at(2, 12), (1, Because::OfTheTenant));
        assert_eq!(at(1, 14), (2, Because::OfTheMerchant));
        assert_eq!(at(2, 14), (3, Because::OfTheTenant));
        assert_eq!(at(1, 16), (3, Because::Withdrawn { version: 4 }));
        assert_eq!(at(2, 16), (3, Because::OfTheTenant));
        assert_eq!(at(1, 18), (6, Because::OfTheMerchant));
        assert_eq!(at(2, 18), (3, Because::OfTheTenant));
        // To the microsecond.
        let before = Timestamp::from_micros(hour(17).micros() - 1);
        assert_eq!(rules.in_force(Some(merchant_id(1)), before).rule.version, 3);
        assert_eq!(
            rules.in_force(Some(merchant_id(1)), hour(17)).rule.version,
            6
        );
        assert_eq!(rules.in_force(None, hour(18)).rule.version, 3);
        assert_eq!(
            rules.in_force(None, hour(1)).rule.version,
            1,
            "clocks disagree"
        );
    }

    #[test]
    fn planned_and_replaced_versions_are_distinguished() {
        let rules = Rules::new(table()).unwrap();
        let status = |version: usize, at| rules.stands(&table()[version - 1], hour(at)).name();
        assert_eq!(status(2, 12), "in_force");
        assert_eq!(status(2, 16), "replaced");
        assert_eq!(status(3, 12), "scheduled");
        assert_eq!(status(3, 18), "in_force");
        assert_eq!(status(4, 16), "in_force");
        assert_eq!((status(5, 12), status(6, 12)), ("replaced", "scheduled"));
        let planned = |merchant, at| {
            let later = rules.scheduled(merchant, hour(at));
            later.map(|version| version.version).collect::<Vec<_>>()
        };
        assert_eq!(planned(Some(merchant_id(1)), 12), [4, 6]);
        assert_eq!(planned(None, 12), [3]);
        assert_eq!(planned(Some(merchant_id(2)), 12), [0; 0]);
    }

    #[test]
    fn a_tenant_without_a_rule_of_its_own_has_none() {
        assert!(Rules::new(vec![]).is_none());
        assert!(Rules::new(vec![version(1, Some(1), Some(1), 1)]).is_none());
    }

    #[test]
    fn a_little_earlier_another_version_was_in_force() {
        let rules = Rules::new(table()).unwrap();
        let between = |merchant, from, to| {
            let versions = rules.in_force_between(merchant_id(merchant), hour(from), hour(to));
            versions.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(between(1, 12, 12), [2]);
        assert_eq!(between(1, 14, 15), [2, 3]);
        assert_eq!(between(1, 15, 17), [3, 6]);
        assert_eq!(between(2, 12, 18), [1, 3]);
        assert_eq!(between(2, 13, 18), [3]);
    }

    prop_compose! {
        fn any_versions()(
            plans in prop::collection::vec((prop::option::of(1_u8..4), prop::option::of(0_i64..9), 0_i64..12), 0..40)
        ) -> Vec<RuleVersion> {
            let mut versions = vec![version(1, None, Some(1), 0)];
            for (number, (merchant, points, begins)) in (2..).zip(plans) {
                let points = if merchant.is_some() { points } else { points.or(Some(7)) };
                versions.push(version(number, merchant, points, begins));
            }
            versions
        }
    }

    /// The rule as the module's first paragraph says it, with nothing clever.
    fn obvious(versions: &[RuleVersion], merchant: u8, at: Timestamp) -> u32 {
        let latest = |of: Option<MerchantId>| {
            let begun = versions
                .iter()
                .filter(|version| version.merchant == of && version.effective_from <= at);
            begun.max_by_key(|version| (version.effective_from, version.version))
        };
        match latest(Some(merchant_id(merchant))) {
            Some(own) if own.terms.is_some() => own.version,
            Some(_) | None => latest(None).unwrap().version,
        }
    }

    proptest! {
        /// Read whole, read bit by bit as the seconds pass, or after the past was forgotten: always
        /// what the obvious search finds.
        #[test]
        fn what_is_in_force_does_not_depend_on_how_it_was_read(versions in any_versions(), pieces in 1_usize..5, forget in 0_i64..12) {
            let whole = Rules::new(versions.clone()).unwrap();
            let mut grown = Rules::new(versions[..1].to_vec()).unwrap();
            for piece in versions[1..].chunks(pieces) {
                grown = grown.with(piece.to_vec()).forgetting_before(hour(forget));
            }
            prop_assert_eq!(grown.newest(), whole.newest());
            for at in 0..14 {
                for merchant in 1..5 {
                    let expected = obvious(&versions, merchant, hour(at));
                    prop_assert_eq!(whole.in_force(Some(merchant_id(merchant)), hour(at)).rule.version, expected);
                    if at >= forget {
                        prop_assert_eq!(grown.in_force(Some(merchant_id(merchant)), hour(at)).rule.version, expected);
                        prop_assert!(grown.candidates(merchant_id(merchant)).any(|rule| rule.version == expected));
                    }
                }
            }
        }
    }
}
