//! Who may be paid, what was shared of which payment, and what came back.
//!
//! ```text
//! share   PROCESSING ----------> FINISHED      each part: PENDING -> SUCCESS | CLOSED
//! return  PROCESSING ----------> SUCCESS | FAILED
//! ```
//!
//! How a part ends is decided when it is asked for, and happens [`Book::settle`] later. In memory
//! and bounded, as the orders are: past the limit the oldest shares are forgotten, with their
//! returns.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::super::funds::Funds;
use super::fate::{ForcedReceiver, ReturnFailure, ShareFailure, ShareResult};

/// How long WeChat takes over a share or a return, before compression.
pub(super) const TAKES: Duration = Duration::from_secs(30);

/// How a receiver is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) enum AccountKind {
    Merchant,
    Openid,
    SubOpenid,
}

impl AccountKind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Merchant => "MERCHANT_ID",
            Self::Openid => "PERSONAL_OPENID",
            Self::SubOpenid => "PERSONAL_SUB_OPENID",
        }
    }
}

/// A receiver, as one sub-merchant knows it, or in direct mode the merchant itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Receiver {
    pub(super) mchid: String,
    pub(super) kind: AccountKind,
    pub(super) account: String,
}

/// When something happens, by both clocks. Under a test's clock that stands still the machine's
/// counts, so that everything ends all the same.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Moment {
    pub(in super::super) now: OffsetDateTime,
    pub(in super::super) instant: Instant,
}

impl Moment {
    /// Whether `gap` has passed since `then`, by either clock.
    pub(super) fn is_after(self, then: Self, gap: Duration) -> bool {
        self.now - then.now >= gap || self.instant.saturating_duration_since(then.instant) >= gap
    }
}

/// How a part of a share ended, if it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum PartOutcome {
    Pending,
    Success(OffsetDateTime),
    Closed(ShareFailure, OffsetDateTime),
}

/// What one receiver is to get.
#[derive(Debug, Clone)]
pub(in super::super) struct Part {
    pub(in super::super) kind: AccountKind,
    pub(in super::super) account: String,
    pub(in super::super) amount_fen: i64,
    pub(super) description: String,
    pub(super) detail_id: String,
    pub(super) fate: ShareResult,
    pub(in super::super) outcome: PartOutcome,
}

/// One request to share or to unfreeze.
#[derive(Debug, Clone)]
pub(in super::super) struct Share {
    /// In direct mode the merchant itself.
    pub(in super::super) mchid: String,
    pub(super) partner: bool,
    pub(in super::super) out_order_no: String,
    pub(in super::super) order_id: String,
    pub(in super::super) transaction_id: String,
    pub(super) parts: Vec<Part>,
    /// What nobody gets is the merchant's own from now on.
    pub(super) unfreezes: bool,
    /// Over what was asked for, names in the clear: their ciphertexts differ every time.
    pub(super) fingerprint: [u8; 32],
    pub(super) created: Moment,
}

impl Share {
    /// The parts that leave the merchant; what is unfrozen to itself does not.
    pub(in super::super) fn leaving(&self) -> impl Iterator<Item = &Part> + Clone {
        let own = |part: &&Part| part.kind == AccountKind::Merchant && part.account == self.mchid;
        self.parts.iter().filter(move |part| !own(part))
    }

    pub(super) fn is_finished(&self) -> bool {
        self.parts
            .iter()
            .all(|part| part.outcome != PartOutcome::Pending)
    }
}

/// How a return ended, if it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum ReturnOutcome {
    Processing,
    Success(OffsetDateTime),
    Failed(ReturnFailure, OffsetDateTime),
}

/// Money that a merchant gives back.
#[derive(Debug, Clone)]
#[expect(clippy::struct_field_names, reason = "the names are WeChat's")]
pub(in super::super) struct Return {
    pub(in super::super) mchid: String,
    pub(super) out_order_no: String,
    pub(super) order_id: String,
    pub(in super::super) out_return_no: String,
    pub(in super::super) return_id: String,
    pub(in super::super) return_mchid: String,
    pub(in super::super) amount_fen: i64,
    pub(super) description: String,
    pub(super) fingerprint: [u8; 32],
    pub(super) failure: Option<ReturnFailure>,
    pub(super) created: Moment,
    pub(in super::super) outcome: ReturnOutcome,
}

/// What is under way, oldest first; all of it takes equally long.
#[derive(Debug)]
enum Pending {
    Share(String),
    Return(String),
}

/// Everything about sharing.
#[derive(Debug)]
pub(in super::super) struct Book {
    pub(super) receivers: HashMap<Receiver, Option<String>>,
    pub(super) forced: HashMap<String, ForcedReceiver>,
    shares: HashMap<String, Share>,
    of_transactions: HashMap<String, Vec<String>>,
    returns: HashMap<String, Return>,
    of_shares: HashMap<String, Vec<String>>,
    kept: VecDeque<String>,
    pending: VecDeque<Pending>,
    kept_max: usize,
}

impl Book {
    pub(in super::super) fn new(kept_max: usize) -> Self {
        Self {
            receivers: HashMap::new(),
            forced: HashMap::new(),
            shares: HashMap::new(),
            of_transactions: HashMap::new(),
            returns: HashMap::new(),
            of_shares: HashMap::new(),
            kept: VecDeque::new(),
            pending: VecDeque::new(),
            kept_max: kept_max.max(1),
        }
    }

    pub(in super::super) fn force(&mut self, account: &str, forced: ForcedReceiver) {
        self.forced.insert(account.to_owned(), forced);
    }

    pub(super) fn share(&self, out_order_no: &str) -> Option<&Share> {
        self.shares.get(out_order_no)
    }

    pub(super) fn share_by_id(&self, order_id: &str) -> Option<&Share> {
        self.shares
            .values()
            .find(|share| share.order_id == order_id)
    }

    pub(super) fn returned(&self, out_return_no: &str) -> Option<&Return> {
        self.returns.get(out_return_no)
    }

    pub(super) fn of_transaction(&self, transaction_id: &str) -> impl Iterator<Item = &Share> {
        let numbers = self.of_transactions.get(transaction_id);
        numbers
            .into_iter()
            .flatten()
            .filter_map(|number| self.shares.get(number))
    }

    pub(super) fn returns_of(&self, out_order_no: &str) -> impl Iterator<Item = &Return> {
        let numbers = self.of_shares.get(out_order_no);
        numbers
            .into_iter()
            .flatten()
            .filter_map(|number| self.returns.get(number))
    }

    /// What of a payment is spoken for: shared or being shared, with others or with the merchant
    /// itself.
    pub(super) fn spoken_for_fen(&self, transaction_id: &str) -> i64 {
        self.of_transaction(transaction_id)
            .flat_map(|share| &share.parts)
            .filter(|part| !matches!(part.outcome, PartOutcome::Closed(..)))
            .fold(0, |sum: i64, part| sum.saturating_add(part.amount_fen))
    }

    /// What of a payment went or goes to others.
    pub(super) fn given_away_fen(&self, transaction_id: &str) -> i64 {
        self.of_transaction(transaction_id)
            .flat_map(Share::leaving)
            .filter(|part| !matches!(part.outcome, PartOutcome::Closed(..)))
            .fold(0, |sum: i64, part| sum.saturating_add(part.amount_fen))
    }

    pub(super) fn is_unfrozen(&self, transaction_id: &str) -> bool {
        self.of_transaction(transaction_id)
            .any(|share| share.unfreezes)
    }

    pub(super) fn take_in(&mut self, share: Share) {
        if self.kept.len() >= self.kept_max {
            self.forget_oldest();
        }
        let number = share.out_order_no.clone();
        let of_transaction = self.of_transactions.entry(share.transaction_id.clone());
        of_transaction.or_default().push(number.clone());
        self.kept.push_back(number.clone());
        self.pending.push_back(Pending::Share(number.clone()));
        self.shares.insert(number, share);
    }

    pub(super) fn take_in_return(&mut self, returned: Return) {
        let number = returned.out_return_no.clone();
        let of_share = self.of_shares.entry(returned.out_order_no.clone());
        of_share.or_default().push(number.clone());
        self.pending.push_back(Pending::Return(number.clone()));
        self.returns.insert(number, returned);
    }

    /// Ends what has taken long enough, and moves the money: as of when it was due, however late
    /// somebody looks. Idle, it costs nothing.
    pub(in super::super) fn settle(&mut self, funds: &mut Funds, moment: Moment, compression: u32) {
        let takes = TAKES / compression;
        while let Some(pending) = self.pending.front() {
            let created = match pending {
                Pending::Share(number) => self.shares.get(number).map(|share| share.created),
                Pending::Return(number) => self.returns.get(number).map(|back| back.created),
            };
            if created.is_some_and(|created| !moment.is_after(created, takes)) {
                return;
            }
            let at = created.map_or(moment.now, |created| moment.now.min(created.now + takes));
            match self.pending.pop_front() {
                Some(Pending::Share(number)) => self.end_share(&number, funds, at),
                Some(Pending::Return(number)) => self.end_return(&number, funds, at),
                None => return,
            }
        }
    }

    fn end_share(&mut self, number: &str, funds: &mut Funds, at: OffsetDateTime) {
        let Some(share) = self.shares.get_mut(number) else {
            return;
        };
        for part in &mut share.parts {
            let own = part.kind == AccountKind::Merchant && part.account == share.mchid;
            let receiver = Receiver {
                mchid: share.mchid.clone(),
                kind: part.kind,
                account: part.account.clone(),
            };
            let fate = if own || self.receivers.contains_key(&receiver) {
                part.fate
            } else {
                ShareResult::Closed(ShareFailure::NoRelation)
            };
            part.outcome = match fate {
                ShareResult::Closed(failure) => PartOutcome::Closed(failure, at),
                ShareResult::Success => PartOutcome::Success(at),
            };
            if fate == ShareResult::Success && !own {
                funds.add(&share.mchid, part.amount_fen.saturating_neg());
                if part.kind == AccountKind::Merchant {
                    funds.add(&part.account, part.amount_fen);
                }
            }
        }
    }

    fn end_return(&mut self, number: &str, funds: &mut Funds, at: OffsetDateTime) {
        let Some(back) = self.returns.get_mut(number) else {
            return;
        };
        let failure = back.failure.or_else(|| {
            let taken = funds.take(&back.return_mchid, back.amount_fen);
            (!taken).then_some(ReturnFailure::BalanceNotEnough)
        });
        back.outcome = if let Some(failure) = failure {
            ReturnOutcome::Failed(failure, at)
        } else {
            funds.add(&back.mchid, back.amount_fen);
            ReturnOutcome::Success(at)
        };
    }

    /// Every share kept, oldest first.
    pub(in super::super) fn shares(&self) -> impl Iterator<Item = &Share> {
        self.kept
            .iter()
            .filter_map(|number| self.shares.get(number))
    }

    /// Every return of a share that is kept.
    pub(in super::super) fn returns(&self) -> impl Iterator<Item = &Return> {
        self.returns.values()
    }

    fn forget_oldest(&mut self) {
        let Some(share) = self
            .kept
            .pop_front()
            .and_then(|number| self.shares.remove(&number))
        else {
            return;
        };
        for number in self
            .of_shares
            .remove(&share.out_order_no)
            .unwrap_or_default()
        {
            self.returns.remove(&number);
        }
        if let Some(numbers) = self.of_transactions.get_mut(&share.transaction_id) {
            numbers.retain(|number| *number != share.out_order_no);
            if numbers.is_empty() {
                self.of_transactions.remove(&share.transaction_id);
            }
        }
    }
}
