//! A payment as the model knows it, and what WeChat has of its refunds.

use super::{Theirs, points};
use crate::{
    payments::RefundStatus,
    points::{RuleTerms, Validity},
    primitives::{BusinessDay, OrderId, RefundId},
};

/// A payment that was settled.
#[derive(Debug)]
pub(super) struct Paid {
    pub(super) id: OrderId,
    /// In fen.
    pub(super) amount: i64,
    pub(super) transaction: String,
    pub(super) earned: i64,
    pub(super) rule: u32,
    /// Rows of refunds, made here or elsewhere.
    pub(super) refunds: Vec<RefundId>,
    pub(super) theirs: Vec<Theirs>,
    /// WeChat said that something was refunded, and nothing explains it yet.
    pub(super) unknown: bool,
}

impl Paid {
    /// What WeChat would still refund. It never takes more than was paid.
    pub(super) fn room(&self) -> i64 {
        let gone = self
            .theirs
            .iter()
            .filter(|theirs| theirs.counts_against_order());
        self.amount - gone.map(|theirs| theirs.amount).sum::<i64>()
    }

    /// As far as we were told.
    pub(super) fn reported_room(&self) -> i64 {
        let told = self.theirs.iter().filter(|theirs| {
            let said = theirs.reported.filter(|said| *said != RefundStatus::Closed);
            said.is_some()
        });
        self.amount - told.map(|theirs| theirs.amount).sum::<i64>()
    }

    /// What arrived, as far as we were told.
    pub(super) fn arrived(&self) -> i64 {
        let arrived = self.theirs.iter();
        let arrived = arrived.filter(|theirs| theirs.reported == Some(RefundStatus::Success));
        arrived.map(|theirs| theirs.amount).sum()
    }

    pub(super) fn place_of(&self, number: &str) -> Option<usize> {
        self.theirs
            .iter()
            .position(|theirs| theirs.number == number)
    }

    /// Whether WeChat has refunds that nobody here asked for.
    pub(super) fn has_foreign(&self) -> bool {
        self.theirs.iter().any(|theirs| theirs.ours.is_none())
    }
}

/// The versions of the rule: of lots of both kinds, with and without caps.
pub(super) const RULES: std::ops::RangeInclusive<u32> = 1..=6;

pub(super) fn terms(rule: u32) -> RuleTerms {
    let (validity, daily_cap, total_cap) = match rule {
        1 => (Validity::Never, None, None),
        2 => (Validity::Days { count: 1 }, None, None),
        3 => (Validity::Days { count: 2 }, Some(points(16)), None),
        4 => (Validity::Never, None, Some(points(20))),
        5 => (Validity::EndOfMonth { count: 0 }, None, None),
        _ => (
            Validity::Days { count: 4 },
            Some(points(20)),
            Some(points(25)),
        ),
    };
    RuleTerms {
        daily_cap,
        total_cap,
        validity,
        ..RuleTerms::default()
    }
}

/// The first day on which what such a rule credits has expired, for those that count in days.
pub(super) fn gone_on(rule: u32, today: BusinessDay) -> Option<BusinessDay> {
    match rule {
        1 | 4 => Some(BusinessDay::NEVER),
        2 => Some(today.plus_days(2)),
        3 => Some(today.plus_days(3)),
        6 => Some(today.plus_days(5)),
        _ => None,
    }
}
