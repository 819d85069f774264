//! What a verification found.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;

/// How many violations of one invariant are named.
pub const NAMED_MAX: usize = 50;

/// The invariants of the books that the database alone can tell. The numbers are for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    EntriesAreWhole,
    SumsEqualTransfers,
    NeverBelowZero,
    DebitsEqualCredits,
    PaidOrdersAreSettledOnce,
    PointsFollowTheRule,
    LotsSumToBalance,
    CapsHold,
    HistoryIsAllowed,
    EventsMatchChanges,
    ChainIsUnbroken,
    AnswersAreDurable,
    DecisionsAreReproducible,
    NothingIsStuck,
    ChannelReportsAreRecorded,
    RowsAreReadable,
}

impl Invariant {
    pub const ALL: [Self; 16] = [
        Self::EntriesAreWhole,
        Self::SumsEqualTransfers,
        Self::NeverBelowZero,
        Self::DebitsEqualCredits,
        Self::PaidOrdersAreSettledOnce,
        Self::PointsFollowTheRule,
        Self::LotsSumToBalance,
        Self::CapsHold,
        Self::HistoryIsAllowed,
        Self::EventsMatchChanges,
        Self::ChainIsUnbroken,
        Self::AnswersAreDurable,
        Self::DecisionsAreReproducible,
        Self::NothingIsStuck,
        Self::ChannelReportsAreRecorded,
        Self::RowsAreReadable,
    ];

    pub const fn number(self) -> u8 {
        match self {
            Self::EntriesAreWhole => 1,
            Self::SumsEqualTransfers => 2,
            Self::NeverBelowZero => 3,
            Self::DebitsEqualCredits => 4,
            Self::PaidOrdersAreSettledOnce => 5,
            Self::PointsFollowTheRule => 6,
            Self::LotsSumToBalance => 7,
            Self::CapsHold => 8,
            Self::HistoryIsAllowed => 9,
            Self::EventsMatchChanges => 10,
            Self::ChainIsUnbroken => 11,
            Self::AnswersAreDurable => 12,
            Self::DecisionsAreReproducible => 13,
            // 14 and 15 are kept for bills and what they settle.
            Self::NothingIsStuck => 16,
            Self::ChannelReportsAreRecorded => 17,
            Self::RowsAreReadable => 18,
        }
    }

    pub const fn sentence(self) -> &'static str {
        match self {
            Self::EntriesAreWhole => {
                "every journal entry is whole, between different accounts of one asset"
            }
            Self::SumsEqualTransfers => {
                "account sums equal their transfers, debts their accounts; versions gapless, balances chained"
            }
            Self::NeverBelowZero => {
                "a constrained account is never below zero, at any point of its history"
            }
            Self::DebitsEqualCredits => "debits equal credits over all accounts of an asset",
            Self::PaidOrdersAreSettledOnce => {
                "a paid order has one settlement of its amount; an unpaid one has none; refunded amounts never exceed paid; shares are booked as they stand"
            }
            Self::PointsFollowTheRule => {
                "points credited are what the rule in force said, once; refunds take back their part; points transactions are booked for their points; who owes points has none free"
            }
            Self::LotsSumToBalance => {
                "lots are what the transfers make them and sum to the balance; nothing is spent from an expired one; every hold is covered by lots"
            }
            Self::CapsHold => {
                "daily and total caps hold, exactly; counts of days and budgets are what was credited; what staff gave back alone in a day is counted"
            }
            Self::HistoryIsAllowed => {
                "every state in history follows from the one before; sharings, their parts and orders agree, and so do points transactions and their entries"
            }
            Self::EventsMatchChanges => {
                "every event has its change, every change its event; the relay skipped none"
            }
            Self::ChainIsUnbroken => "the chain of commits is unbroken and covers every transfer",
            Self::AnswersAreDurable => {
                "what a caller was told is there; every claimed key names its effect"
            }
            Self::DecisionsAreReproducible => {
                "what is booked was allowed by what risk decided; decisions are what their columns say, and what their rules say when they are asked again"
            }
            Self::NothingIsStuck => {
                "everything that is not final has somebody who moves it on, or was reported to people; the relay advances"
            }
            Self::ChannelReportsAreRecorded => {
                "what WeChat has said is in the books or in front of a person, whoever caused it; no call that may still be taken is forgotten"
            }
            Self::RowsAreReadable => {
                "every row says something: its codes, names, times and amounts are of those that there are"
            }
        }
    }
}

/// One invariant: how much was looked at and what was wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub checked: u64,
    pub violations: u64,
    /// The first of them, with the offending ids.
    pub named: Vec<String>,
}

/// What a verification found, invariant by invariant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    findings: BTreeMap<Invariant, Finding>,
    /// Rows that cannot be read: each is a violation once, however many passes meet it.
    unreadable: BTreeSet<String>,
}

impl Report {
    /// Every invariant with its finding, in the order of their numbers.
    pub fn findings(&self) -> impl Iterator<Item = (Invariant, Finding)> + '_ {
        Invariant::ALL.into_iter().map(|invariant| {
            (
                invariant,
                self.findings.get(&invariant).cloned().unwrap_or_default(),
            )
        })
    }

    pub fn is_clean(&self) -> bool {
        self.findings
            .values()
            .all(|finding| finding.violations == 0)
    }

    /// Whether this invariant holds.
    pub fn holds(&self, invariant: Invariant) -> bool {
        self.findings
            .get(&invariant)
            .is_none_or(|finding| finding.violations == 0)
    }

    pub(super) fn looked_at(&mut self, invariant: Invariant, count: u64) {
        self.findings.entry(invariant).or_default().checked += count;
    }

    pub(super) fn violated(&mut self, invariant: Invariant, what: impl fmt::Display) {
        let finding = self.findings.entry(invariant).or_default();
        finding.violations += 1;
        if finding.named.len() < NAMED_MAX {
            finding.named.push(what.to_string());
        }
    }

    /// Notes a row that says nothing, by its table and key. The other checks go on without it, so
    /// what refers to it may be named by them, too.
    pub(super) fn unreadable(&mut self, row: String, why: impl fmt::Display) {
        if !self.unreadable.contains(&row) {
            self.violated(
                Invariant::RowsAreReadable,
                format!("{row} cannot be read: {why}"),
            );
            self.unreadable.insert(row);
        }
    }

    /// Counts one look and notes a violation unless `holds`.
    pub(super) fn expect(
        &mut self,
        invariant: Invariant,
        holds: bool,
        what: impl FnOnce() -> String,
    ) {
        self.looked_at(invariant, 1);
        if !holds {
            self.violated(invariant, what());
        }
    }
}

/// A table in plain text, for the ends of tests.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (invariant, finding) in self.findings() {
            let verdict = if finding.violations == 0 {
                "holds"
            } else {
                "BROKEN"
            };
            writeln!(
                f,
                "{:>2} {verdict:<6} {:>9}  {}",
                invariant.number(),
                finding.checked,
                invariant.sentence()
            )?;
            for named in &finding.named {
                writeln!(f, "          {named}")?;
            }
        }
        Ok(())
    }
}
