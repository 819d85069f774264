//! The money of shared payments, played at random without a database: sharings, refunds by us and
//! by others before and after them, returns, withdrawals. What is run is what the service runs (its
//! operations, from the channel's word to the rows), on rows in memory. What a job does between two
//! operations, a call and what it makes of the answer, is played beside a WeChat that never shares
//! or refunds more than was paid, and may answer late or not at all: a call of unknown outcome may
//! land within ten minutes.
//!
//! After every commit:
//!
//! - the accounts are what was shared, returned, refunded and is on its way: the receivers have
//!   what they got less what came back and never owe, and the rest is the merchant's;
//! - nobody gets more than their ratio of the base less the fee, and no more is asked back of a
//!   part than it is;
//! - what WeChat told of parts and returns is what their rows say;
//! - a round of returns asks for what is missing of each part's proportion and no more, and when
//!   its refund goes on that is back, but for what is known to be lost;
//! - a round has something open, and is one refund's.
//!
//! In the end WeChat answers everything: then every sharing is done, every refund has ended, and
//! the receivers have in the books what they have at WeChat.
//!
//! Not played: that WeChat did what it had called refused for certain.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    ChannelPart, ChannelReturn, ChannelShare, Part, PartResult, PartReturn, PartState,
    PaymentShare, ReceiverKind, ReturnResult, ReturnState, RulePart, ShareState, SharingRule,
    apply_return::{ApplyReturn, ReturnUpdate},
    apply_share::{ApplyShare, ShareUpdate},
    calls::Attempt,
    start::start_in_memory,
    start_return::{ReturnCallDue, ReturnRound, turn_in_memory},
    store::{PartsOf, RefundsOf, ReturnsOf, Shares},
    submit_share::begin_in_memory,
};
use crate::{
    audit::Actor,
    db::{RowSet, batch::memory::Memory},
    idempotency::Claim,
    ledger::{AccountKind, Phase, Transfers},
    payments::{
        Attempts, ChannelRefund, Late, Order, OrderSharing, OrderState, OrderTerms, Orders,
        Payment, PointsReview, Policy, PolicyTerms, Refund, RefundBy, RefundError, RefundRole,
        RefundState, RefundStatus, RefundUpdateOutcome, Refunds, RefusalKind, RequestRefund,
        TimeScale, WithdrawRefund, ask_in_memory, refund_update_operation, withdraw_in_memory,
    },
    primitives::{
        AccountId, BusinessDay, Id, Lane, MerchantId, Money, OrderId, OrderNo, Points, ReceiverId,
        RefundId, Secret, SharingPartId, SharingReturnId, TenantId, Timestamp,
    },
    risk::Evaluation,
};

/// In an ordinary run.
const HISTORIES: u64 = 300;
const STEPS: usize = 50;
/// Until everything has ended, when WeChat answers.
const ROUNDS_MAX: usize = 40;
const TENANT: TenantId = TenantId(1);
const LANE: Lane = Lane(1);
/// After so long WeChat takes a call no more.
const ARRIVAL_WINDOW_SECONDS: i64 = 600;
const MILLION: i64 = 1_000_000;

/// What WeChat has of a payment.
#[derive(Debug)]
struct House {
    order: OrderId,
    amount: i64,
    /// Asked back when the sharing began.
    before: i64,
    /// Of each part: what it is, by its account.
    parts: Vec<TheirPart>,
    shared: bool,
    /// Until when a call for the share whose outcome is unknown may arrive.
    on_its_way: Option<Timestamp>,
    returns: BTreeMap<SharingReturnId, TheirReturn>,
    /// The bound for returns.
    returns_on_their_way: BTreeMap<SharingReturnId, Timestamp>,
    refunds: Vec<TheirRefund>,
    rows: Vec<RefundId>,
    /// What must be back when the round of this refund is over, by part.
    due: BTreeMap<RefundId, BTreeMap<SharingPartId, i64>>,
}

#[derive(Debug)]
struct TheirPart {
    account: String,
    amount: i64,
    result: PartResult,
    reported: bool,
}

#[derive(Debug)]
struct TheirReturn {
    account: String,
    amount: i64,
    result: ReturnResult,
    reported: bool,
}

#[derive(Debug)]
struct TheirRefund {
    number: String,
    row: Option<RefundId>,
    amount: i64,
    status: RefundStatus,
    reported: Option<RefundStatus>,
}

struct History {
    rng: StdRng,
    memory: Memory,
    now: Timestamp,
    merchant: MerchantId,
    rule: SharingRule,
    /// WeChat answers everything and refuses nothing.
    is_kind: bool,
    houses: Vec<House>,
    /// Credits less debits.
    money: BTreeMap<AccountId, i64>,
    asked: u32,
    trace: Vec<String>,
}

fn fen(units: i64) -> Money {
    Money::parse(units).unwrap()
}

/// `amount * count / of`, rounded down.
fn proportion(amount: i64, count: i64, of: i64) -> i64 {
    amount * count / of.max(1)
}

impl House {
    fn refunded(&self) -> i64 {
        let live = self.refunds.iter();
        let live = live.filter(|refund| refund.status != RefundStatus::Closed);
        live.map(|refund| refund.amount).sum()
    }

    fn came_back(&self, account: &str) -> i64 {
        let back = self.returns.values().filter(|back| back.account == account);
        let back = back.filter(|back| back.result != ReturnResult::Failed);
        back.map(|back| back.amount).sum()
    }

    /// What a receiver has.
    fn has(&self, account: &str) -> i64 {
        let got = self.parts.iter().filter(|part| part.account == account);
        let got = got.filter(|part| part.result == PartResult::Success);
        got.map(|part| part.amount).sum::<i64>() - self.came_back(account)
    }
}

impl History {
    fn begin(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let memory = Memory::new(seed);
        let merchant = MerchantId::new(Id::mint(1, 1, LANE));
        let kinds = [
            ReceiverKind::Merchant,
            ReceiverKind::Merchant,
            ReceiverKind::Person,
        ];
        let parts = rng.random_range(0..=kinds.len());
        let part = |(place, kind): (u64, ReceiverKind)| RulePart {
            receiver: ReceiverId::new(Id::mint(1, 10 + place, LANE)),
            kind,
            account: Secret::new(format!("r-{place}")),
            name_masked: None,
            ratio_ppm: rng.random_range(1_000..100_000),
            description: "分账".into(),
        };
        let now = Timestamp::from_micros(1_795_000_000_000_000);
        let rule = SharingRule {
            merchant,
            version: 1,
            active: true,
            ratio_max_ppm: 300_000,
            parts: (0..).zip(kinds).take(parts).map(part).collect(),
            created_at: now,
        };
        Self {
            trace: vec![format!("seed {seed}, {rule:?}")],
            rng,
            memory,
            now,
            merchant,
            rule,
            is_kind: false,
            houses: Vec::new(),
            money: BTreeMap::new(),
            asked: 0,
        }
    }

    fn tell(&mut self, what: String) {
        self.trace.push(what);
    }

    fn row<R: RowSet>(&self, key: R::Key) -> Option<R::Row> {
        self.memory.row::<R>(key)
    }

    fn share(&self, place: usize) -> Option<PaymentShare> {
        self.row::<Shares>(self.houses[place].order)
    }

    fn parts(&self, share: &PaymentShare) -> BTreeMap<SharingPartId, Part> {
        self.row::<PartsOf>(share.id).unwrap_or_default()
    }

    fn returns(&self, share: &PaymentShare) -> BTreeMap<SharingReturnId, PartReturn> {
        self.row::<ReturnsOf>(share.id).unwrap_or_default()
    }

    fn rows(&self, place: usize) -> Vec<Refund> {
        let rows = self.houses[place].rows.iter();
        rows.map(|id| self.row::<Refunds>(*id).unwrap()).collect()
    }

    fn chance(&mut self, one_in: u32) -> bool {
        !self.is_kind && self.rng.random_range(0..one_in) == 0
    }

    fn claim(&mut self) -> Claim {
        self.asked += 1;
        let mut id = [0; 16];
        id[..4].copy_from_slice(&self.asked.to_be_bytes());
        Claim {
            id,
            tenant: TENANT,
            request_hash: id,
        }
    }

    fn step(&mut self) {
        let fresh = self.houses.is_empty() || self.rng.random_range(0..8) == 0;
        if fresh && self.houses.len() < 4 {
            self.pay();
            return;
        }
        let place = self.rng.random_range(0..self.houses.len());
        match self.rng.random_range(0..100) {
            0..15 => self.start(place),
            15..35 => self.reconcile_share(place),
            35..50 => self.request_refund(place),
            50..70 => self.reconcile_refund(place),
            70..76 => self.withdraw(place),
            76..80 => self.add_foreign_refund(place),
            _ => self.move_at_wechat(place),
        }
    }

    fn pay(&mut self) {
        let id = OrderId::new(Id::mint(self.now.millis(), self.memory.random(), LANE));
        let amount = if self.rng.random() {
            self.rng.random_range(1..200)
        } else {
            self.rng.random_range(200..50_000)
        };
        let terms = OrderTerms {
            tenant: TENANT,
            merchant: self.merchant,
            sub_mchid: "1900000109".into(),
            description: "茶里巷".into(),
            amount: fen(amount),
            sharing: OrderSharing::Wanted,
            review: PointsReview::No,
            expires_at: self.now,
        };
        let order = Order {
            version: 3,
            state: OrderState::Paid(Payment {
                paid_at: self.now,
                wechat_transaction_id: "42".into(),
                points: Points::ZERO,
                rule_version: 1,
                points_expired_from: BusinessDay::NEVER,
                settled_by: None,
                late: Late::No,
            }),
            ..Order::shown(id, terms)
        };
        self.memory.overwrite::<Orders>(id, order);
        self.houses.push(House {
            order: id,
            amount,
            before: 0,
            parts: Vec::new(),
            shared: false,
            on_its_way: None,
            returns: BTreeMap::new(),
            returns_on_their_way: BTreeMap::new(),
            refunds: Vec::new(),
            rows: Vec::new(),
            due: BTreeMap::new(),
        });
        self.tell(format!("payment {} of {amount}", self.houses.len() - 1));
    }

    // -- sharing

    fn start(&mut self, place: usize) {
        if self.share(place).is_some() {
            return;
        }
        let asked = self.rows(place).into_iter();
        let asked = asked.filter(|row| row.state.kind().counts_against_order());
        self.houses[place].before = asked.map(|row| row.amount.get()).sum();
        let house = &self.houses[place];
        let (order, mut left) = (house.order, house.amount - house.refunded());
        if self.chance(4) {
            left /= 10;
        }
        let rule = Some(self.rule.clone());
        let policy = Arc::new(Policy::default());
        let about = (TENANT, order, fen(left));
        let attempt = start_in_memory(&mut self.memory, self.now, about, (rule, policy));
        self.tell(format!("{place} is shared, {left} left: {attempt:?}"));
        self.commit();
        if let Some(attempt) = attempt {
            self.call_share(place, attempt);
        }
    }

    /// What a job does for a sharing.
    fn reconcile_share(&mut self, place: usize) {
        let Some(share) = self.share(place) else {
            return;
        };
        match share.state {
            ShareState::Asked => {
                let about = (share.order, share.calls.begun);
                let attempt = begin_in_memory(&mut self.memory, self.now, about);
                self.commit();
                self.call_share(place, attempt.unwrap());
            }
            ShareState::Processing => self.ask_share(place, &share),
            ShareState::Releasing { release } => {
                if self.houses[place].shared {
                    return self.ask_share(place, &share);
                }
                let update = if self.chance(3) {
                    later("no_answer", true)
                } else {
                    ShareUpdate::Channel(ChannelShare {
                        wechat_order_id: "3008".into(),
                        finished: true,
                        parts: Vec::new(),
                    })
                };
                self.apply_share_status(place, release, update);
            }
            ShareState::Done { .. } => {}
        }
    }

    /// A call for the share, of which this attempt is written down.
    fn call_share(&mut self, place: usize, attempt: Attempt) {
        let share = self.share(place).unwrap();
        if self.houses[place].shared {
            return self.ask_share(place, &share);
        }
        if self.chance(5) {
            // It did not arrive yet.
            self.houses[place].on_its_way = Some(self.now.plus_seconds(ARRIVAL_WINDOW_SECONDS));
            return self.apply_share_status(place, share.id, later("no_answer", true));
        }
        let parts = self.parts(&share);
        let sum: i64 = parts.values().map(|part| part.amount.get()).sum();
        let house = &self.houses[place];
        let fits = sum <= house.amount - house.refunded();
        if !fits || self.chance(5) {
            let update = ShareUpdate::Refused {
                kind: RefusalKind::Rejected,
                code: "INVALID_REQUEST".into(),
                attempt: Some(attempt),
            };
            return self.apply_share_status(place, share.id, update);
        }
        self.land_share(place);
        if self.chance(5) {
            return self.apply_share_status(place, share.id, later("no_answer", true));
        }
        self.ask_share(place, &share);
    }

    fn land_share(&mut self, place: usize) {
        let share = self.share(place).unwrap();
        let parts = self.parts(&share).into_values().map(|part| TheirPart {
            account: part.account.expose().clone(),
            amount: part.amount.get(),
            result: PartResult::Pending,
            reported: false,
        });
        let house = &mut self.houses[place];
        house.parts = parts.collect();
        house.shared = true;
        house.on_its_way = None;
        self.tell(format!("WeChat has the share of {place}"));
    }

    fn ask_share(&mut self, place: usize, share: &PaymentShare) {
        if self.chance(5) {
            return self.apply_share_status(place, share.id, later("no_answer", false));
        }
        let parts = &mut self.houses[place].parts;
        let finished = parts.iter().all(|part| part.result != PartResult::Pending);
        let said = parts.iter_mut().map(|part| {
            part.reported = true;
            ChannelPart {
                account: Secret::new(part.account.clone()),
                amount: fen(part.amount),
                result: part.result,
                fail_reason: None,
                finished_at: None,
            }
        });
        let said = ChannelShare {
            wechat_order_id: "3008".into(),
            parts: said.collect(),
            finished,
        };
        self.apply_share_status(place, share.id, ShareUpdate::Channel(said));
    }

    fn apply_share_status(
        &mut self,
        place: usize,
        number: crate::primitives::SharingId,
        update: ShareUpdate,
    ) {
        let operation = ApplyShare {
            order: self.houses[place].order,
            number,
            update,
            time_scale: TimeScale::default(),
        };
        let said = self.memory.decide(self.now, &operation);
        let state = said
            .as_ref()
            .map(|share| share.as_ref().map(|share| share.state));
        self.tell(format!("{place}: {:?}: {state:?}", operation.update));
        assert!(state.is_ok(), "{:#?}", self.trace);
        self.commit();
    }

    // -- refunds

    fn request_refund(&mut self, place: usize) {
        let order = self.row::<Orders>(self.houses[place].order).unwrap();
        let left = order.refundable().get();
        if left == 0 {
            return;
        }
        let amount = match self.rng.random_range(0..4) {
            0 => left,
            _ => self.rng.random_range(1..=left),
        };
        let request = RequestRefund {
            tenant: TENANT,
            order: order.id,
            amount: Some(fen(amount)),
            reason: "缺货".into(),
            by: RefundBy {
                actor: Actor::operator("one"),
                role: RefundRole::Operator,
            },
            claim: self.claim(),
        };
        let how = (Evaluation::default(), PolicyTerms::default());
        let asked = ask_in_memory(&mut self.memory, self.now, request, how);
        let state = asked.as_ref().map(|refund| refund.state);
        self.tell(format!("{amount} of {left} of {place} go back: {state:?}"));
        match asked {
            Ok(refund) => {
                let shared = self.share(place).is_some();
                let waits = refund.state == RefundState::Returning;
                assert_eq!(waits, shared, "{:#?}", self.trace);
                self.houses[place].rows.push(refund.id);
            }
            Err(RefundError::TooMany) => {}
            Err(error) => panic!("{error:?}: {:#?}", self.trace),
        }
        self.commit();
    }

    /// What a job does for a refund of ours.
    fn reconcile_refund(&mut self, place: usize) {
        let rows = self.rows(place).into_iter();
        let due: Vec<_> = rows.filter(is_due).collect();
        if due.is_empty() {
            return;
        }
        let which = self.rng.random_range(0..due.len());
        self.reconcile(place, &due[which]);
    }

    fn reconcile(&mut self, place: usize, refund: &Refund) {
        match refund.state {
            RefundState::Returning | RefundState::Withdrawn => self.reconcile_return(place, refund),
            RefundState::AwaitingApproval
            | RefundState::Rejected
            | RefundState::Accepted
            | RefundState::Processing
            | RefundState::Succeeded { .. }
            | RefundState::Abnormal
            | RefundState::Closed
            | RefundState::Failed => self.tell_refund(place, refund),
        }
    }

    fn tell_refund(&mut self, place: usize, refund: &Refund) {
        let number = refund.out_refund_no();
        let mut known = self.houses[place].refunds.iter();
        let known = known.position(|theirs| theirs.number == number);
        let room = self.houses[place].amount - self.houses[place].refunded();
        if let Some(known) = known {
            return self.apply_refund_status(place, known);
        }
        if refund.amount.get() > room || self.chance(5) {
            let refused = refund_update_operation(TENANT, Some(refund.id), Err(refund.version));
            let said = self.memory.decide(self.now, &refused);
            self.tell(format!("{} is refused: {said:?}", refund.id));
            assert!(said.is_ok(), "{:#?}", self.trace);
            return self.commit();
        }
        self.houses[place].refunds.push(TheirRefund {
            number,
            row: Some(refund.id),
            amount: refund.amount.get(),
            status: RefundStatus::Processing,
            reported: None,
        });
        if !self.chance(4) {
            let last = self.houses[place].refunds.len() - 1;
            self.apply_refund_status(place, last);
        }
    }

    fn apply_refund_status(&mut self, place: usize, index: usize) {
        let house = &self.houses[place];
        let theirs = &house.refunds[index];
        let said = ChannelRefund {
            out_refund_no: theirs.number.clone(),
            out_trade_no: OrderNo::from(house.order).to_string(),
            wechat_refund_id: format!("50{place}x{index}"),
            status: theirs.status,
            amount: fen(theirs.amount),
            total: fen(house.amount),
            succeeded_at: None,
            received_account: None,
        };
        let (row, status) = (theirs.row, theirs.status);
        let said = self
            .memory
            .decide(self.now, &refund_update_operation(TENANT, row, Ok(said)));
        self.tell(format!("{place}: refund {index} is {status:?}: {said:?}"));
        match said {
            Ok(RefundUpdateOutcome::Now(refund)) => {
                let house = &mut self.houses[place];
                house.refunds[index].row = Some(refund.id);
                if !house.rows.contains(&refund.id) {
                    house.rows.push(refund.id);
                }
            }
            Ok(RefundUpdateOutcome::Before) => {}
            // Closed refunds of which we were not told leave no room in the sum.
            Ok(RefundUpdateOutcome::Rejected("refund_over_paid")) if row.is_none() => return,
            _ => panic!("{said:?}: {:#?}", self.trace),
        }
        self.houses[place].refunds[index].reported = Some(status);
        self.commit();
    }

    fn add_foreign_refund(&mut self, place: usize) {
        let room = self.houses[place].amount - self.houses[place].refunded();
        if room == 0 {
            return;
        }
        let amount = self.rng.random_range(1..=room);
        self.asked += 1;
        self.houses[place].refunds.push(TheirRefund {
            number: format!("X-{}", self.asked),
            row: None,
            amount,
            status: RefundStatus::Success,
            reported: None,
        });
        self.tell(format!("somebody else refunds {amount} of {place}"));
    }

    fn withdraw(&mut self, place: usize) {
        let mut rows = self.rows(place).into_iter();
        let at_wechat = |row: &Refund| {
            let mut theirs = self.houses[place].refunds.iter();
            theirs.any(|theirs| theirs.row == Some(row.id))
        };
        let open = |row: &Refund| {
            matches!(row.state, RefundState::Returning | RefundState::Accepted)
                && !row.is_foreign()
                && !at_wechat(row)
        };
        let Some(refund) = rows.find(open) else {
            return;
        };
        let request = WithdrawRefund {
            tenant: TENANT,
            refund: refund.id,
            reason: "不退了".into(),
            by: Actor::operator("two"),
            claim: self.claim(),
        };
        let about = (PolicyTerms::default(), refund.progress.calls);
        let said = withdraw_in_memory(&mut self.memory, self.now, request, about);
        self.tell(format!("{} is withdrawn: {said:?}", refund.id));
        let state = said.map(|refund| refund.state);
        assert!(
            matches!(state, Ok(RefundState::Withdrawn)),
            "{state:?}: {:#?}",
            self.trace
        );
        self.commit();
    }

    // -- returns

    /// What must be back of each part that can come back, when this refund goes on.
    fn due_back(&self, place: usize, refund: &Refund) -> BTreeMap<SharingPartId, i64> {
        let share = self.share(place).unwrap();
        let gone_on = self.rows(place).into_iter().filter(|row| {
            let kind = row.state.kind();
            let counts = row.state != RefundState::Returning || row.id == refund.id;
            kind.counts_against_order() && kind.is_booked() && counts
        });
        let refunded: i64 = gone_on.map(|row| row.amount.get()).sum();
        let house = &self.houses[place];
        let base = (house.amount - house.before).max(0);
        let covered = (refunded - house.before).clamp(0, base);
        let parts = self.parts(&share).into_values();
        let parts = parts.filter(|part| {
            part.state == PartState::Succeeded && part.kind == ReceiverKind::Merchant
        });
        parts
            .map(|part| (part.id, proportion(part.amount.get(), covered, base)))
            .collect()
    }

    fn reconcile_return(&mut self, place: usize, refund: &Refund) {
        let about = (refund.id, refund.order);
        let share = self.share(place).unwrap();
        let begins = share.returning.is_none()
            && !share.stopped
            && share.state.has_parts_final()
            && refund.state == RefundState::Returning;
        let before = self.parts(&share);
        let due = begins.then(|| self.due_back(place, refund));
        let round = turn_in_memory(&mut self.memory, self.now, about);
        self.tell(format!("{place}: the turn of {}: {round:?}", refund.id));
        self.commit();
        if let Some(due) = due {
            let after = self.parts(&share);
            for (part, due) in &due {
                let (before, after) = (&before[part], &after[part]);
                let most = (*due).max(before.returned.get());
                assert_eq!(after.returned.get(), most, "{part}: {:#?}", self.trace);
            }
            self.houses[place].due.insert(refund.id, due);
        }
        match round {
            ReturnRound::Waiting => {}
            ReturnRound::Finished => self.look_at_gone_on(place, refund.id),
            ReturnRound::InProgress(_, turns) => {
                for ReturnCallDue { back, attempt } in turns {
                    self.call_return(place, &back, attempt);
                }
                let share = self.share(place).unwrap();
                if share.returning != Some(refund.id) {
                    self.look_at_gone_on(place, refund.id);
                }
            }
        }
    }

    /// A refund has gone on: what must be back is, but for what is known to be lost.
    fn look_at_gone_on(&self, place: usize, refund: RefundId) {
        let Some(due) = self.houses[place].due.get(&refund) else {
            return;
        };
        let share = self.share(place).unwrap();
        let (parts, returns) = (self.parts(&share), self.returns(&share));
        for (part, due) in due {
            let lost = returns.values().filter(|back| {
                back.part == *part && back.refund == refund && back.state == ReturnState::Failed
            });
            let lost: i64 = lost.map(|back| back.amount.get()).sum();
            let returned = parts[part].returned.get();
            assert!(returned + lost >= *due, "{part} {due}: {:#?}", self.trace);
        }
    }

    fn call_return(&mut self, place: usize, back: &PartReturn, attempt: Option<Attempt>) {
        if self.houses[place].returns.contains_key(&back.id) {
            let update = if self.chance(5) {
                ReturnUpdate::Later { ended: None }
            } else {
                self.said_of_return(place, back.id)
            };
            return self.apply_return_status(place, back, update);
        }
        let Some(attempt) = attempt else {
            return;
        };
        if self.chance(5) {
            let until = self.now.plus_seconds(ARRIVAL_WINDOW_SECONDS);
            self.houses[place]
                .returns_on_their_way
                .insert(back.id, until);
            return self.apply_return_status(place, back, ReturnUpdate::Later { ended: None });
        }
        let account = self.account_of(place, back);
        if back.amount.get() > self.houses[place].has(&account) || self.chance(5) {
            let update = if self.chance(2) {
                ReturnUpdate::Later {
                    ended: Some(attempt),
                }
            } else {
                ReturnUpdate::Refused {
                    code: "INVALID_REQUEST".into(),
                    attempt,
                }
            };
            return self.apply_return_status(place, back, update);
        }
        self.land_return(place, back);
        let update = if self.chance(5) {
            ReturnUpdate::Later { ended: None }
        } else {
            self.said_of_return(place, back.id)
        };
        self.apply_return_status(place, back, update);
    }

    fn account_of(&self, place: usize, back: &PartReturn) -> String {
        let share = self.share(place).unwrap();
        self.parts(&share)[&back.part].account.expose().clone()
    }

    fn land_return(&mut self, place: usize, back: &PartReturn) {
        let account = self.account_of(place, back);
        let result = match self.rng.random_range(0..4) {
            0 if !self.is_kind => ReturnResult::Failed,
            1 | 2 => ReturnResult::Success,
            _ => ReturnResult::Processing,
        };
        let theirs = TheirReturn {
            account,
            amount: back.amount.get(),
            result,
            reported: false,
        };
        let house = &mut self.houses[place];
        house.returns_on_their_way.remove(&back.id);
        house.returns.insert(back.id, theirs);
        self.tell(format!("WeChat has return {}: {result:?}", back.id));
    }

    fn said_of_return(&mut self, place: usize, id: SharingReturnId) -> ReturnUpdate {
        let back = self.houses[place].returns.get_mut(&id).unwrap();
        back.reported = true;
        ReturnUpdate::Channel(ChannelReturn {
            wechat_return_id: "3009".into(),
            result: back.result,
            fail_reason: None,
            amount: fen(back.amount),
        })
    }

    fn apply_return_status(&mut self, place: usize, back: &PartReturn, update: ReturnUpdate) {
        let operation = ApplyReturn {
            order: self.houses[place].order,
            refund: back.refund,
            back: back.id,
            update,
        };
        let said = self.memory.decide(self.now, &operation);
        self.tell(format!(
            "{place}: {} {:?}: {said:?}",
            back.id, operation.update
        ));
        assert!(said.is_ok(), "{:#?}", self.trace);
        self.commit();
    }

    // -- WeChat

    /// Something moves at WeChat, or a call of unknown outcome arrives there.
    fn move_at_wechat(&mut self, place: usize) {
        match self.rng.random_range(0..6) {
            0 => self.move_part(place),
            1 => self.move_return(place),
            2 => self.move_refund(place),
            3 => self.land(place),
            _ => {
                let mut unreported = self.houses[place].refunds.iter();
                let unreported =
                    unreported.position(|refund| refund.reported != Some(refund.status));
                if let Some(index) = unreported {
                    self.apply_refund_status(place, index);
                }
            }
        }
    }

    fn move_part(&mut self, place: usize) {
        let fails = self.chance(4);
        let mut parts = self.houses[place].parts.iter_mut();
        if let Some(part) = parts.find(|part| part.result == PartResult::Pending) {
            part.reported = false;
            part.result = if fails {
                PartResult::Closed
            } else {
                PartResult::Success
            };
        }
    }

    fn move_return(&mut self, place: usize) {
        let fails = self.chance(3);
        let mut returns = self.houses[place].returns.values_mut();
        if let Some(back) = returns.find(|back| back.result == ReturnResult::Processing) {
            back.reported = false;
            back.result = if fails {
                ReturnResult::Failed
            } else {
                ReturnResult::Success
            };
        }
    }

    fn move_refund(&mut self, place: usize) {
        let fails = self.chance(4);
        let mut refunds = self.houses[place].refunds.iter_mut();
        if let Some(refund) = refunds.find(|refund| refund.status == RefundStatus::Processing) {
            refund.status = if fails {
                RefundStatus::Closed
            } else {
                RefundStatus::Success
            };
        }
    }

    /// A call that was on its way arrives. WeChat takes none that is older than ten minutes.
    fn land(&mut self, place: usize) {
        let Some(share) = self.share(place) else {
            return;
        };
        let in_time = |until: &Timestamp| self.now < *until;
        let house = &self.houses[place];
        let parts = self.parts(&share);
        let sum: i64 = parts.values().map(|part| part.amount.get()).sum();
        let lands = house.on_its_way.as_ref().is_some_and(in_time);
        if lands && !house.shared && sum <= house.amount - house.refunded() {
            return self.land_share(place);
        }
        let mut calls = house.returns_on_their_way.iter();
        let back = calls.find(|(_, until)| in_time(until));
        let back = back.and_then(|(id, _)| self.returns(&share).get(id).cloned());
        if let Some(back) = back
            && back.amount.get() <= house.has(&self.account_of(place, &back))
        {
            self.land_return(place, &back);
        }
    }

    // -- after each commit

    fn commit(&mut self) {
        for (_, transfer) in self.memory.changes::<Transfers>() {
            if matches!(transfer.phase, Phase::Posted | Phase::Post) {
                *self.money.entry(transfer.credit).or_default() += transfer.amount;
                *self.money.entry(transfer.debit).or_default() -= transfer.amount;
            }
        }
        self.memory.commit();
        for house in &self.houses {
            let rows = house.rows.iter().copied().collect();
            self.memory.overwrite::<RefundsOf>(house.order, rows);
        }
        self.look();
    }

    fn look(&self) {
        let (mut in_transit, mut on_their_way, mut arrived) = (0, 0, 0);
        let mut receivers: BTreeMap<ReceiverId, i64> = BTreeMap::new();
        for place in 0..self.houses.len() {
            for row in self.rows(place) {
                let kind = row.state.kind();
                if row.state.kind().is_booked() && !kind.is_final() && !row.is_foreign() {
                    on_their_way += row.amount.get();
                }
                if matches!(row.state, RefundState::Succeeded { .. }) {
                    arrived += row.amount.get();
                }
            }
            if let Some(share) = self.share(place) {
                in_transit += self.look_at_share(place, &share, &mut receivers);
            }
        }
        let has = |account: AccountId| self.money.get(&account).copied().unwrap_or(0);
        let of = |kind: AccountKind| has(AccountId::of_tenant(TENANT, kind));
        assert_eq!(
            of(AccountKind::SharingInTransit),
            in_transit,
            "{:#?}",
            self.trace
        );
        assert_eq!(
            of(AccountKind::RefundsInTransit),
            on_their_way,
            "{:#?}",
            self.trace
        );
        assert_eq!(
            of(AccountKind::ChannelReceivable),
            arrived,
            "{:#?}",
            self.trace
        );
        let mut given = 0;
        for (receiver, got) in receivers {
            let said = has(AccountId::receiver_payable(receiver));
            assert!(said == got && got >= 0, "{said} {got} {:#?}", self.trace);
            given += got;
        }
        // What was paid is not booked here: what it keeps of it.
        let keeps = -(arrived + on_their_way + in_transit + given);
        let merchant = has(AccountId::merchant_payable(self.merchant));
        assert_eq!(merchant, keeps, "{:#?}", self.trace);
    }

    /// A sharing beside its order, its parts and returns, and what WeChat told of them. Gives what
    /// is on its way.
    fn look_at_share(
        &self,
        place: usize,
        share: &PaymentShare,
        receivers: &mut BTreeMap<ReceiverId, i64>,
    ) -> i64 {
        let house = &self.houses[place];
        let order = self.row::<Orders>(house.order).unwrap();
        let about = || format!("{order:?} {share:?} {house:?} {:#?}", self.trace);
        let done = matches!(share.state, ShareState::Done { .. });
        let expected = if done {
            OrderSharing::Done
        } else {
            OrderSharing::InProgress
        };
        assert_eq!(order.sharing, expected, "{}", about());
        let base = (house.amount - house.before).max(0);
        let sums = (share.base.get(), share.asked_before.get());
        assert_eq!(sums, (base, house.before), "{}", about());
        let (parts, returns) = (self.parts(share), self.returns(share));
        let net = base - (base * 6_000 + MILLION / 2) / MILLION;
        let all: i64 = parts.values().map(|part| part.amount.get()).sum();
        assert!(all <= net, "{all} of {net}: {}", about());
        let open = returns.values().filter(|back| !back.state.is_final());
        let of: BTreeSet<_> = open.map(|back| back.refund).collect();
        let round: BTreeSet<_> = share.returning.into_iter().collect();
        assert_eq!(of, round, "{}", about());
        let mut in_transit = 0;
        for part in parts.values() {
            let mut rule = self.rule.parts.iter();
            let ratio = rule.find(|of| of.receiver == part.receiver);
            let ratio = i64::from(ratio.unwrap().ratio_ppm);
            let most = proportion(net, ratio, MILLION);
            assert!(part.amount.get() <= most, "{part:?}: {}", about());
            let back = |state: &dyn Fn(ReturnState) -> bool| {
                let back = returns.values().filter(|back| back.part == part.id);
                let back = back.filter(|back| state(back.state));
                back.map(|back| back.amount.get()).sum::<i64>()
            };
            let asked = back(&|state| state != ReturnState::Failed);
            assert_eq!(part.returned.get(), asked, "{part:?}: {}", about());
            assert!(asked <= part.amount.get(), "{part:?}: {}", about());
            let got = receivers.entry(part.receiver).or_default();
            match part.state {
                PartState::Pending => in_transit += part.amount.get(),
                PartState::Succeeded => *got += part.amount.get(),
                PartState::Failed => {}
            }
            *got -= back(&|state| state == ReturnState::Succeeded);
            self.look_at_reported(house, part);
        }
        for (id, theirs) in house.returns.iter().filter(|(_, theirs)| theirs.reported) {
            let expected = match theirs.result {
                ReturnResult::Processing => continue,
                ReturnResult::Success => ReturnState::Succeeded,
                ReturnResult::Failed => ReturnState::Failed,
            };
            assert_eq!(returns[id].state, expected, "{id}: {}", about());
        }
        in_transit
    }

    /// A part is what WeChat reported of it.
    fn look_at_reported(&self, house: &House, part: &Part) {
        let mut theirs = house.parts.iter().filter(|theirs| theirs.reported);
        let theirs = theirs.find(|theirs| theirs.account == *part.account.expose());
        let expected = match theirs.map(|theirs| theirs.result) {
            None | Some(PartResult::Pending) => return,
            Some(PartResult::Success) => PartState::Succeeded,
            Some(PartResult::Closed) => PartState::Failed,
        };
        assert_eq!(part.state, expected, "{part:?} {house:?} {:#?}", self.trace);
    }

    // -- the end

    /// WeChat answers everything, and the jobs do what is due until nothing is.
    fn end(&mut self) {
        self.is_kind = true;
        self.tell("WeChat answers everything".into());
        for _ in 0..ROUNDS_MAX {
            // Whatever was on its way is too old to be taken.
            self.now = self.now.plus_seconds(700);
            for place in 0..self.houses.len() {
                self.start(place);
                self.reconcile_share(place);
                for _ in 0..self.houses[place].refunds.len() {
                    self.move_refund(place);
                }
                for _ in 0..self.houses[place].parts.len() {
                    self.move_part(place);
                }
                for _ in 0..self.houses[place].returns.len() {
                    self.move_return(place);
                }
                for refund in self.rows(place).iter().filter(|row| is_due(row)) {
                    let refund = self.row::<Refunds>(refund.id).unwrap();
                    if !is_due(&refund) {
                        continue;
                    }
                    self.reconcile(place, &refund);
                }
                for index in 0..self.houses[place].refunds.len() {
                    self.apply_refund_status(place, index);
                }
            }
        }
        for place in 0..self.houses.len() {
            self.look_at_end(place);
        }
    }

    fn look_at_end(&self, place: usize) {
        let (house, share) = (&self.houses[place], self.share(place).unwrap());
        let about = || format!("{share:?} {house:?} {:#?}", self.trace);
        let done = matches!(share.state, ShareState::Done { .. });
        assert!(done && !share.stopped, "{}", about());
        assert_eq!(share.returning, None, "{}", about());
        let rows = self.rows(place);
        for row in &rows {
            assert!(row.state.kind().is_final(), "{row:?} {}", about());
            assert!(!is_due(row), "{row:?} {}", about());
        }
        let arrived = rows
            .iter()
            .filter(|row| matches!(row.state, RefundState::Succeeded { .. }));
        let arrived: i64 = arrived.map(|row| row.amount.get()).sum();
        assert_eq!(arrived, house.refunded(), "{}", about());
        assert!(arrived <= house.amount, "{}", about());
        let returns = self.returns(&share);
        for part in self.parts(&share).values() {
            let back = returns.values().filter(|back| back.part == part.id);
            let back = back.filter(|back| back.state == ReturnState::Succeeded);
            let back: i64 = back.map(|back| back.amount.get()).sum();
            let got = if part.state == PartState::Succeeded {
                part.amount.get()
            } else {
                0
            };
            let has = house.has(part.account.expose());
            assert_eq!(got - back, has, "{part:?} {}", about());
        }
    }
}

fn later(problem: &'static str, unsure: bool) -> ShareUpdate {
    ShareUpdate::Later {
        problem,
        unsure,
        ended: None,
    }
}

/// Whether a job looks at a refund of ours.
fn is_due(refund: &Refund) -> bool {
    let Attempts { next_at, .. } = &refund.attempts;
    match refund.state {
        RefundState::Returning
        | RefundState::Accepted
        | RefundState::Processing
        | RefundState::Abnormal => !refund.is_foreign(),
        RefundState::Withdrawn => next_at.is_some(),
        RefundState::AwaitingApproval
        | RefundState::Rejected
        | RefundState::Succeeded { .. }
        | RefundState::Closed
        | RefundState::Failed => false,
    }
}

fn play(seed: u64) {
    let mut history = History::begin(seed);
    for _ in 0..STEPS {
        history.step();
        let seconds = if history.rng.random_range(0..6) == 0 {
            601
        } else {
            20
        };
        history.now = history.now.plus_seconds(seconds);
    }
    history.end();
}

fn asked(name: &str) -> Option<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "how much is played is said on the command line"
    )]
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn random_histories_of_shares_leave_to_everybody_what_is_theirs() {
    if let Some(seed) = asked("ZHANGFANG_MODEL_SEED") {
        return play(seed);
    }
    let from = asked("ZHANGFANG_MODEL_FROM").unwrap_or(0);
    let histories = asked("ZHANGFANG_MODEL_HISTORIES").unwrap_or(HISTORIES);
    for seed in from..from + histories {
        play(seed);
    }
}
