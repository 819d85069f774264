//! Points, played at random without a database: payments, refunds by us and by others, awards,
//! deductions, redemptions and their returns, holds, reviews, expiry and midnights, over lots that
//! end and lots that never do. What is run is what the service runs (its operations, from WeChat's
//! word to the rows), on rows in memory. Beside it stands a WeChat that never refunds more than was
//! paid ([`Theirs`]) and may tell late, twice, or not at all; refuse a refund and make it after
//! all; and make those of others.
//!
//! After every commit of one to three of them (the last two every now and then, and at the end):
//!
//! - the account is what its lots and holds add up to, and its debt the shortfalls that were not
//!   repaid;
//! - it is what its payments were credited, as the model counts with rule, caps, reviews and
//!   refunds, and what back ends gave, took and returned, less what expired;
//! - the replay that `verify-ledger` makes of the transfers finds nothing wrong, and arrives at the
//!   same lots and holds;
//! - every hold can be posted: for each day, what was held on it or later is in lots that are
//!   not over on it;
//! - who owes points has none free;
//! - every refund of WeChat's that was told is one row and says what WeChat said, and no other row
//!   counts against the order but ours that WeChat does not have; orders count just these;
//! - what can still be refunded is never below zero, nor more than WeChat would take;
//! - points go back in proportion to the money;
//! - the money's accounts are what was paid, what arrived and what is on its way;
//! - what rules handed out in all is what was earned and did not come back;
//! - what expired of a lot counts as given back once, by the refunds that say so;
//! - what is free is what can be deducted, to the point;
//! - whatever is open can end either way: each refund can arrive and be closed, be agreed to or
//!   not, each hold be captured, in part too, and released, each review be decided.
//!
//! `ZHANGFANG_MODEL_HISTORIES=100000` plays more histories than an ordinary run does, from
//! `ZHANGFANG_MODEL_FROM=…` on, and `ZHANGFANG_MODEL_SEED=…` one alone.

mod paid;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use self::paid::{Paid, RULES, gone_on, terms};
use super::{
    ChannelRefund, DecideRefund, LatePayment, Order, OrderSharing, OrderState, OrderTerms,
    PaidNotice, PointsReview, PointsShortfall, Policy, PolicyTerms, Refund, RefundBy, RefundError,
    RefundNotice, RefundOrigin, RefundRole, RefundState, RefundStateKind, RefundStatus,
    RefundUpdateOutcome, RequestRefund, SettleOutcome, SettlePayment, TimeScale, WithdrawRefund,
    credit::CreditRisk,
    refund_update::{ApplyRefund, RefundUpdate},
    request_refund::in_memory,
    reviews::{timing_out, turning},
    store::{Orders, Refunds},
    withdraw_refund::withdraw_in_memory,
};
use crate::{
    audit::{Actor, SystemActor},
    db::{Operation, Wanted, WorkingSet, batch::memory::Memory},
    facts::{Facts, Stage},
    idempotency::Claim,
    ledger::{
        self, Account, AccountKind, Accounts, Holds, LotExpiries, LotExpiry, Lots, LotsOf, Phase,
        PointHoldings, Transfers,
    },
    points::{
        self, Budgets, End, Instruction, PointsCommand, PointsError, Reference, ReturnCommand,
        Source, expiry::ExpireLots, one_rule,
    },
    primitives::{
        AccountId, BusinessDay, CustomerId, EntryKind, Id, Lane, MerchantId, Money, OrderId,
        OrderNo, Points, PointsTransactionId, RefundId, RefundNo, ReviewId, TenantId, Timestamp,
    },
    risk::{Action, CounterValues, Decision, Evaluation, ReviewPolicy, TimeoutDecision},
    verify::LotReplay,
};

/// In an ordinary run. Each of the mistakes that the model was tried with is found within these.
const HISTORIES: u64 = 300;
const STEPS: usize = 60;
const TENANT: TenantId = TenantId(1);
const LANE: Lane = Lane(1);
const SUB_MCHID: &str = "1900000109";
const SP_MCHID: &str = "1600000000";
/// A quarter of a day, so that a few steps bring a midnight.
const PAUSE_SECONDS: i64 = 21_600;
/// Above it a second person must agree, in fen.
const REVIEW_ABOVE: i64 = 700;

/// A refund that WeChat has.
#[derive(Debug, Clone)]
struct Theirs {
    /// Whoever asked for it gave it this number.
    number: String,
    wechat: String,
    amount: i64,
    status: RefundStatus,
    /// What we were told last.
    reported: Option<RefundStatus>,
    /// Ours, if we asked for it.
    ours: Option<RefundId>,
}

impl Theirs {
    fn counts_against_order(&self) -> bool {
        self.status != RefundStatus::Closed
    }
}

/// Something that back ends or risk have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Hold(PointsTransactionId, i64),
    /// A points transaction under review, with its points.
    Review(ReviewId, What, i64),
}

/// A points transaction that is reviewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Award,
    Redeem,
    Hold,
}

/// What back ends did, in points.
#[derive(Debug, Default)]
struct PointsTransactions {
    given: i64,
    /// Awards that a person must approve.
    given_later: i64,
    spent: i64,
    held: i64,
    returned: i64,
}

struct History {
    rng: StdRng,
    memory: Memory,
    now: Timestamp,
    customer: CustomerId,
    merchant: MerchantId,
    policy: PointsShortfall,
    paid: Vec<Paid>,
    open: Vec<Open>,
    points_transactions: PointsTransactions,
    /// Points transactions that took points, and what is left to return of them.
    spent: Vec<(PointsTransactionId, i64)>,
    /// What returns give back.
    returns: HashMap<Id, PointsTransactionId>,
    /// By the latest day on which a payment earned.
    earned: (BusinessDay, i64),
    expired: i64,
    asked: u32,
    replay: LotReplay,
    owed: i64,
    /// Credits less debits of the money's accounts.
    money: BTreeMap<AccountId, i64>,
    transfers: usize,
    trace: Vec<String>,
}

fn points(units: i64) -> Points {
    Points::parse(units).unwrap()
}

fn fen(units: i64) -> Money {
    Money::parse(units).unwrap()
}

impl History {
    fn begin(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let memory = Memory::new(seed);
        let policy = if rng.random_range(0..5) == 0 {
            PointsShortfall::Refuse
        } else {
            PointsShortfall::Debt
        };
        let now = Timestamp::from_micros(1_795_000_000_000_000);
        Self {
            rng,
            customer: CustomerId::new(Id::mint(1, memory.random(), LANE)),
            merchant: MerchantId::new(Id::mint(1, 1, LANE)),
            memory,
            now,
            policy,
            paid: Vec::new(),
            open: Vec::new(),
            points_transactions: PointsTransactions::default(),
            spent: Vec::new(),
            returns: HashMap::new(),
            earned: (now.business_day(), 0),
            expired: 0,
            asked: 0,
            replay: LotReplay::default(),
            owed: 0,
            money: BTreeMap::new(),
            transfers: 0,
            trace: vec![format!("seed {seed}, {policy:?}")],
        }
    }

    fn tell(&mut self, what: String) {
        self.trace.push(what);
    }

    fn account_id(&self) -> AccountId {
        AccountId::customer_points(self.customer)
    }

    fn today(&self) -> BusinessDay {
        self.now.business_day()
    }

    fn stock(&self) -> PointHoldings {
        let id = self.account_id();
        let holds = self.memory.row::<Holds>(id);
        PointHoldings {
            lots: self.memory.row::<LotsOf>(id).unwrap_or_default(),
            holds: holds.map(|holds| holds.by_day).unwrap_or_default(),
        }
    }

    fn account(&self) -> Account {
        let account = self.memory.row::<Accounts>(self.account_id());
        account.unwrap_or(Account::empty(TENANT))
    }

    fn order(&self, place: usize) -> Order {
        self.memory.now::<Orders>(self.paid[place].id).unwrap()
    }

    fn refund(&self, id: RefundId) -> Refund {
        self.memory.now::<Refunds>(id).unwrap()
    }

    /// A number by which a request is known.
    fn key(&mut self) -> Claim {
        self.asked += 1;
        let mut id = [0; 16];
        id[..4].copy_from_slice(&self.asked.to_be_bytes());
        Claim {
            id,
            tenant: TENANT,
            request_hash: id,
        }
    }

    fn id(&self) -> Id {
        Id::mint(self.now.millis(), self.memory.random(), LANE)
    }

    /// A day on which points may be gone: soon, late, or never.
    fn lot(&mut self) -> BusinessDay {
        match self.rng.random_range(0..6) {
            0..3 => BusinessDay::NEVER,
            days => self.today().plus_days(days - 2),
        }
    }

    /// A batch loads what any of its operations wants before it decides the first of them. One
    /// alone may not want the lots.
    fn load(&mut self) {
        let account = self.account_id();
        let orders = self
            .paid
            .iter()
            .filter_map(|paid| self.memory.row::<Orders>(paid.id));
        let lots = orders.filter_map(|order| Some(order.state.payment()?.points_expired_from));
        let lots: Vec<_> = lots.filter(|lot| *lot != BusinessDay::NEVER).collect();
        let rows = |want: &mut Wanted, _: &WorkingSet| {
            ledger::want_spending(want, account);
            for lot in &lots {
                ledger::want_lot_expiry(want, account, *lot);
            }
        };
        let loaded = self.memory.run(self.now, rows, |_, _| Ok::<_, ()>(()));
        assert_eq!(loaded, Ok(()));
    }

    fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..14 => self.pay(),
            14..19 => self.award(),
            19..28 => self.spend(),
            28..35 => self.hold(),
            35..40 => self.give_back(),
            40..53 => self.request_refund(),
            53..75 => self.move_refund(),
            75..79 => self.add_foreign_refund(),
            79..92 => self.end(),
            92..96 => self.expire(),
            96..98 => self.settle_again(),
            _ => {}
        }
    }

    /// Some points, often all that are free or one more.
    fn some(&mut self) -> i64 {
        let free = self.stock().free(self.today()).unwrap();
        match self.rng.random_range(0..4) {
            0 => free.max(1),
            1 => free.saturating_add(1),
            _ => self.rng.random_range(1..=free.max(1)),
        }
    }

    // -- payments

    fn policy(&self, late_payment: LatePayment) -> Policy {
        Policy {
            version: 1,
            terms: PolicyTerms {
                late_payment,
                ..self.terms()
            },
        }
    }

    fn terms(&self) -> PolicyTerms {
        PolicyTerms {
            points_shortfall: self.policy,
            refund_review_above: fen(REVIEW_ABOVE),
            ..PolicyTerms::default()
        }
    }

    fn settling(
        &self,
        order: OrderId,
        (amount, transaction, rule): (i64, &str, u32),
        late: LatePayment,
    ) -> SettlePayment {
        let notice = PaidNotice {
            out_trade_no: OrderNo::from(order).to_string(),
            wechat_transaction_id: transaction.to_owned(),
            sp_mchid: SP_MCHID.to_owned(),
            sub_mchid: SUB_MCHID.to_owned(),
            app_id: "wx".to_owned(),
            payer_openid: None,
            amount: fen(amount),
            currency: "CNY".to_owned(),
            payer_amount: None,
            paid_at: self.now,
        };
        let book = (
            one_rule(TENANT, rule, terms(rule)),
            Arc::new(self.policy(late)),
        );
        SettlePayment::new(TENANT, notice, true, book, None)
    }

    /// What a payment earns: a point for each yuan, as far as the caps leave it.
    fn earns(&self, amount: i64, rule: u32) -> i64 {
        let terms = terms(rule);
        let today = if self.earned.0 == self.today() {
            self.earned.1
        } else {
            0
        };
        let room =
            |cap: Option<Points>, used: i64| cap.map_or(i64::MAX, |cap| (cap.get() - used).max(0));
        let daily = room(terms.daily_cap, today);
        let total = room(terms.total_cap, self.handed_out(rule));
        (amount / 100).min(daily).min(total)
    }

    /// What a version handed out and did not get back.
    fn handed_out(&self, rule: u32) -> i64 {
        let of_rule = self.paid.iter().filter(|paid| paid.rule == rule);
        let kept = of_rule.map(|paid| {
            let order = self.memory.now::<Orders>(paid.id).unwrap();
            let refunds = paid.refunds.iter().map(|id| self.refund(*id));
            let refunds: Vec<_> = refunds.collect();
            let arrived = refunds.iter().filter(|refund| is_arrived(refund));
            let back = |refund: &Refund| refund.points.due.get() - refund.points.expired.get();
            let back = paid.earned - arrived.map(back).sum::<i64>();
            if order.review != PointsReview::Voided {
                return back;
            }
            // What a refund withholds it gives back when it ends, whatever became of the review.
            let open = refunds
                .iter()
                .filter(|refund| !refund.state.kind().is_final());
            let withheld: i64 = open.map(|refund| refund.points.withheld.get()).sum();
            withheld.min(back.max(0))
        });
        kept.sum()
    }

    fn pay(&mut self) {
        let rule = self.rng.random_range(RULES);
        let amount = self.rng.random_range(1..1_300);
        let late = match self.rng.random_range(0..12) {
            0 => Some(LatePayment::Refund),
            1 => Some(LatePayment::Reopen),
            _ => None,
        };
        let (reviewed, instruction) = (self.rng.random_range(0..5) == 0, self.rng.random());
        let order = self.new_order(amount, late.is_some(), reviewed && instruction);
        let id = order.id;
        let put = self.memory.run(
            self.now,
            |_, _| {},
            |set, _| {
                set.put::<Orders>(id, order);
                Ok::<_, ()>(())
            },
        );
        assert_eq!(put, Ok(()));
        let transaction = format!("42{}", self.memory.random());
        self.paid.push(Paid {
            id,
            amount,
            transaction: transaction.clone(),
            earned: 0,
            rule,
            refunds: Vec::new(),
            theirs: Vec::new(),
            unknown: false,
        });
        let place = self.paid.len() - 1;
        // Somebody was faster than WeChat's word of the payment.
        let elsewhere = self.rng.random_range(0..12) == 0;
        if elsewhere {
            self.make_elsewhere(place);
            if self.rng.random() {
                let update = self.update(place, 0, RefundStatus::Processing, true);
                let said = self.memory.decide(self.now, &update);
                assert_eq!(
                    said,
                    Ok(RefundUpdateOutcome::Unpaid(id)),
                    "{:#?}",
                    self.trace
                );
            }
        }
        let refunded_late = late == Some(LatePayment::Refund) && !elsewhere;
        let earns = if refunded_late {
            0
        } else {
            self.earns(amount, rule)
        };
        let credit_risk = if reviewed && !instruction {
            CreditRisk::Evaluated {
                evaluation: to_review(Stage::PointsCredit, self.now),
                review_rules: String::new(),
                terms: ReviewPolicy::default(),
            }
        } else {
            CreditRisk::Off
        };
        let settling = self.settling(
            id,
            (amount, &transaction, rule),
            late.unwrap_or(LatePayment::Refund),
        );
        let settled = self
            .memory
            .decide(self.now, &settling.with(credit_risk, elsewhere));
        self.tell(format!(
            "payment {place} of {amount} by rule {rule}, late {late:?}, reviewed {reviewed}, \
             refunded elsewhere {elsewhere}: {settled:?}"
        ));
        let now = SettleOutcome::Now {
            points: points(earns),
        };
        assert_eq!(settled, Ok(now), "{:#?}", self.trace);
        self.paid[place].earned = earns;
        self.paid[place].unknown = elsewhere;
        self.count_earned(earns);
        let order = self.order(place);
        let held = earns > 0 && (reviewed || elsewhere);
        assert_eq!(order.is_under_review(), held, "{:#?}", self.trace);
        if let Some(lot) = gone_on(rule, self.today()) {
            let said = order.state.payment().unwrap().points_expired_from;
            assert_eq!(said, lot, "{:#?}", self.trace);
        }
        if refunded_late {
            self.find_refunds(place);
            assert_eq!(self.paid[place].refunds.len(), 1, "{:#?}", self.trace);
        }
    }

    fn count_earned(&mut self, points: i64) {
        let today = self.today();
        if self.earned.0 != today {
            self.earned = (today, 0);
        }
        self.earned.1 += points;
    }

    /// Rows of refunds that an operation made besides what it answered.
    fn find_refunds(&mut self, place: usize) {
        for (id, refund) in self.memory.changes::<Refunds>() {
            let paid = &mut self.paid[place];
            if refund.order == paid.id && !paid.refunds.contains(&id) {
                paid.refunds.push(id);
            }
        }
    }

    /// WeChat says once more that the order is paid, and whether something was refunded.
    fn settle_again(&mut self) {
        let Some(place) = self.some_payment() else {
            return;
        };
        let paid = &self.paid[place];
        let refunded = paid.theirs.iter().any(Theirs::counts_against_order);
        let of = (paid.amount, &*paid.transaction, paid.rule);
        let settling = self.settling(paid.id, of, LatePayment::Refund);
        let rejected = |id: &RefundId| self.refund(*id).state == RefundState::Rejected;
        let unknown = refunded && paid.refunds.iter().all(rejected);
        let said = self
            .memory
            .decide(self.now, &settling.with(CreditRisk::Off, refunded));
        self.tell(format!(
            "payment {place} again, refunded {refunded}: {said:?}"
        ));
        assert_eq!(said, Ok(SettleOutcome::Before), "{:#?}", self.trace);
        self.paid[place].unknown |= unknown;
    }

    fn some_payment(&mut self) -> Option<usize> {
        // Often one of the last, so that much of it meets.
        let all = self.paid.len();
        let first = if self.rng.random() {
            0
        } else {
            all.saturating_sub(2)
        };
        (all > 0).then(|| self.rng.random_range(first..all))
    }

    fn new_order(&self, amount: i64, late: bool, instruction: bool) -> Order {
        let terms = OrderTerms {
            tenant: TENANT,
            merchant: self.merchant,
            sub_mchid: SUB_MCHID.into(),
            description: "茶里巷".into(),
            amount: fen(amount),
            sharing: OrderSharing::No,
            review: if instruction {
                PointsReview::Wanted
            } else {
                PointsReview::No
            },
            expires_at: self.now,
        };
        let code = "0123456789AB".into();
        Order {
            version: 3,
            state: if late {
                OrderState::Expired {
                    closed_at: self.now,
                }
            } else {
                OrderState::Created
            },
            ..Order::scanned(OrderId::new(self.id()), self.customer, code, terms)
        }
    }

    // -- what back ends do

    fn command(&mut self, instruction: Instruction, amount: i64) -> PointsCommand {
        PointsCommand {
            tenant: TENANT,
            customer: self.customer,
            instruction,
            points: points(amount),
            source: source(),
            reference: self.reference(),
            reason: "测试".into(),
            order: None,
            merchant: None,
            by: Actor::operator("crm"),
        }
    }

    fn reference(&mut self) -> Reference {
        self.asked += 1;
        Reference::parse(&format!("d-{}", self.asked)).unwrap()
    }

    /// What risk says: now and then that a person must decide.
    fn evaluation(&mut self, stage: Stage) -> Evaluation {
        if self.rng.random_range(0..5) > 0 {
            Evaluation::default()
        } else {
            to_review(stage, self.now)
        }
    }

    fn ask(&mut self, instruction: Instruction, amount: i64) {
        let evaluation = match instruction {
            Instruction::Deduct => Evaluation::default(),
            Instruction::Award { .. } => self.evaluation(Stage::PointsCredit),
            Instruction::Redeem | Instruction::Hold { .. } => self.evaluation(Stage::Redeem),
        };
        let command = self.command(instruction, amount);
        let asked = self
            .memory
            .decide(self.now, &points::executing(command, evaluation));
        let told = asked.as_ref().map(|asked| asked.transaction.state);
        self.tell(format!("{instruction:?} of {amount}: {told:?}"));
        let points_transaction = match asked {
            Ok(asked) => asked.transaction,
            Err(PointsError::Insufficient { available }) => {
                assert!(available.get() < amount, "{:#?}", self.trace);
                return;
            }
            Err(error) => panic!("{error:?}: {:#?}", self.trace),
        };
        let what = match instruction {
            Instruction::Award { .. } => What::Award,
            Instruction::Deduct | Instruction::Redeem => What::Redeem,
            Instruction::Hold { .. } => What::Hold,
        };
        match (points_transaction.state, what) {
            (points::PointsTransactionState::UnderReview, _) => {
                match what {
                    What::Award => self.points_transactions.given_later += amount,
                    What::Redeem | What::Hold => self.points_transactions.held += amount,
                }
                let review = ReviewId::of(points_transaction.id.id());
                self.open.push(Open::Review(review, what, amount));
            }
            (points::PointsTransactionState::Held, _) => {
                self.points_transactions.held += amount;
                self.open.push(Open::Hold(points_transaction.id, amount));
            }
            (_, What::Award) => self.points_transactions.given += amount,
            (_, What::Redeem | What::Hold) => self.take(points_transaction.id, amount),
        }
    }

    /// Points were spent.
    fn take(&mut self, points_transaction: PointsTransactionId, amount: i64) {
        self.points_transactions.spent += amount;
        self.spent.push((points_transaction, amount));
    }

    fn award(&mut self) {
        let lot = self.lot().max(self.today().plus_days(1));
        let amount = self.rng.random_range(1..10);
        let expired_from = Some(lot);
        self.ask(Instruction::Award { expired_from }, amount);
    }

    fn spend(&mut self) {
        let amount = self.some();
        let instruction = if self.rng.random() {
            Instruction::Deduct
        } else {
            Instruction::Redeem
        };
        self.ask(instruction, amount);
    }

    fn hold(&mut self) {
        let amount = self.some();
        let minutes = if self.rng.random_range(0..4) == 0 {
            self.rng.random_range(1..2_000)
        } else {
            points::HOLD_MINUTES * 1_000
        };
        self.ask(Instruction::Hold { minutes }, amount);
    }

    /// A back end gives back some of what it took, or wants to give back more.
    fn give_back(&mut self) {
        if self.spent.is_empty() {
            return;
        }
        let place = self.rng.random_range(0..self.spent.len());
        let (of, left) = self.spent[place];
        let amount = match self.rng.random_range(0..4) {
            0 => left + 1,
            1 => left.max(1),
            _ => self.rng.random_range(1..=left.max(1)),
        };
        let command = ReturnCommand {
            tenant: TENANT,
            of,
            points: points(amount),
            source: source(),
            reference: self.reference(),
            reason: "测试".into(),
            by: Actor::operator("crm"),
        };
        let said = self.memory.decide(self.now, &points::returning(command));
        let told = said.as_ref().map(|asked| asked.transaction.points);
        self.tell(format!(
            "{amount} of the {left} left of {of} come back: {told:?}"
        ));
        match said {
            Ok(asked) => {
                assert!(amount <= left, "{:#?}", self.trace);
                self.returns.insert(asked.transaction.id.id(), of);
                self.points_transactions.returned += amount;
                self.spent[place].1 -= amount;
            }
            Err(PointsError::ReturnTooMuch { left: said }) => {
                assert!(amount > left && said.get() == left, "{:#?}", self.trace);
            }
            Err(error) => panic!("{error:?}: {:#?}", self.trace),
        }
    }

    // -- refunds

    /// What the order's refunds that count against the order come to, by their rows.
    fn on_the_table(&self, place: usize) -> Vec<Refund> {
        let refunds = self.paid[place].refunds.iter().map(|id| self.refund(*id));
        refunds
            .filter(|refund| refund.state.kind().counts_against_order())
            .collect()
    }

    fn left(&self, place: usize) -> i64 {
        let asked = self.on_the_table(place);
        let asked: i64 = asked.iter().map(|refund| refund.amount.get()).sum();
        let paid = &self.paid[place];
        if paid.unknown {
            0
        } else {
            (paid.amount - asked).max(0)
        }
    }

    /// Somebody of ours asks for a refund: of a part, of all that is left, or of more.
    fn request_refund(&mut self) {
        let Some(place) = self.some_payment() else {
            return;
        };
        let left = self.left(place);
        let amount = match self.rng.random_range(0..8) {
            0 => Some(left + 1),
            1 | 2 => None,
            3 => Some(left.max(1)),
            _ => Some(self.rng.random_range(1..=left.max(1))),
        };
        let command = RequestRefund {
            tenant: TENANT,
            order: self.paid[place].id,
            amount: amount.map(fen),
            reason: "缺货".into(),
            by: operator("one"),
            claim: self.key(),
        };
        let evaluation = self.evaluation(Stage::Refund);
        let how = (evaluation, self.terms());
        let asked = in_memory::ask(&mut self.memory, self.now, command, how);
        self.tell(format!(
            "refund of {amount:?} of the {left} left of payment {place}: {}",
            outcome_text(&asked)
        ));
        match asked {
            Ok(refund) => {
                let amount = amount.unwrap_or(left);
                assert_eq!(refund.amount.get(), amount, "{:#?}", self.trace);
                assert!(amount <= left, "{:#?}", self.trace);
                self.paid[place].refunds.push(refund.id);
            }
            Err(RefundError::PointsSpent { .. }) if self.policy == PointsShortfall::Refuse => {}
            Err(RefundError::ExceedsRefundable { .. }) => {
                assert!(amount.unwrap_or(1) > left, "{:#?}", self.trace);
            }
            Err(RefundError::RefundedElsewhere) => {
                assert!(self.paid[place].unknown, "{:#?}", self.trace);
            }
            Err(error) => panic!("{error:?}: {:#?}", self.trace),
        }
    }

    /// A refund goes on: of ours that is not at WeChat yet, or at WeChat.
    fn move_refund(&mut self) {
        let Some(place) = self.some_payment() else {
            return;
        };
        let ours = self.paid[place].refunds.iter().map(|id| self.refund(*id));
        let waiting: Vec<_> = ours
            .filter(|refund| !refund.is_foreign() && is_before_wechat(refund))
            .collect();
        let at_wechat = self.paid[place].theirs.len();
        let all = waiting.len() + at_wechat;
        if all == 0 {
            return;
        }
        match self.rng.random_range(0..all) {
            which if which < waiting.len() => {
                let refund = &waiting[which];
                match refund.state {
                    RefundState::AwaitingApproval => self.decide_refund(refund),
                    RefundState::Accepted => self.tell_refund(place, refund),
                    RefundState::Rejected
                    | RefundState::Returning
                    | RefundState::Processing
                    | RefundState::Succeeded { .. }
                    | RefundState::Abnormal
                    | RefundState::Closed
                    | RefundState::Failed
                    | RefundState::Withdrawn => self.make_after_all(place, refund),
                }
            }
            which => self.move_theirs(place, which - waiting.len()),
        }
    }

    /// The second person's decision.
    fn decide_refund(&mut self, refund: &Refund) {
        let agree = self.rng.random_range(0..4) > 0;
        let decision = self.decision(refund.id, agree);
        let terms = self.terms();
        let said = in_memory::decide(&mut self.memory, self.now, decision, terms);
        self.tell(format!(
            "{} is agreed to, {agree}: {}",
            refund.id,
            outcome_text(&said)
        ));
        self.check_decided(refund, agree, said);
    }

    fn decision(&mut self, refund: RefundId, agree: bool) -> DecideRefund {
        DecideRefund {
            tenant: TENANT,
            refund,
            agree,
            note: String::new(),
            by: operator("two"),
            claim: self.key(),
        }
    }

    fn check_decided(&self, refund: &Refund, agree: bool, said: Result<Refund, RefundError>) {
        let place = self.paid.iter().position(|paid| paid.id == refund.order);
        let beside = self.on_the_table(place.unwrap()).into_iter();
        let beside = beside.filter(|other| other.id != refund.id);
        let beside: i64 = beside.map(|other| other.amount.get()).sum();
        let fits = beside + refund.amount.get() <= self.paid[place.unwrap()].amount;
        match said {
            Ok(decided) => {
                let expected = if agree {
                    RefundState::Accepted
                } else {
                    RefundState::Rejected
                };
                assert_eq!(decided.state, expected, "{:#?}", self.trace);
                assert!(!agree || fits, "{:#?}", self.trace);
            }
            Err(RefundError::ExceedsRefundable { .. }) => {
                assert!(agree && !fits, "{:#?}", self.trace);
            }
            Err(RefundError::PointsSpent { .. })
                if agree && self.policy == PointsShortfall::Refuse => {}
            Err(error) => panic!("{error:?}: {:#?}", self.trace),
        }
    }

    /// WeChat is told of a refund of ours, as often as it takes.
    fn tell_refund(&mut self, place: usize, refund: &Refund) {
        let number = refund.no().to_string();
        if let Some(index) = self.paid[place].place_of(&number) {
            // A call without an answer had arrived.
            let status = self.paid[place].theirs[index].status;
            return self.apply_status(place, index, status);
        }
        let fits = refund.amount.get() <= self.paid[place].room();
        let update = match self.rng.random_range(0..9) {
            0 => RefundUpdate::Refused {
                code: "INVALID_REQUEST".into(),
                message: String::new(),
                seen: refund.version,
                unsure: self.rng.random_range(0..3) == 0,
            },
            1 | 2 => return self.withdraw(refund),
            3 => later("no_answer", true),
            4 if fits => {
                self.take_refund(place, number, refund.amount.get(), Some(refund.id));
                later("no_answer", true)
            }
            _ if fits => {
                self.take_refund(place, number, refund.amount.get(), Some(refund.id));
                let index = self.paid[place].theirs.len() - 1;
                return self.apply_status(place, index, RefundStatus::Processing);
            }
            _ => later("not_enough", false),
        };
        let said = self.apply(Some(refund.id), update.clone());
        self.tell(format!(
            "{} is told: {update:?}: {}",
            refund.id,
            moved(&said)
        ));
        assert!(
            matches!(said, RefundUpdateOutcome::Now(_)),
            "{:#?}",
            self.trace
        );
    }

    fn apply(&mut self, refund: Option<RefundId>, update: RefundUpdate) -> RefundUpdateOutcome {
        let operation = applying(refund, update);
        let said = self.memory.decide(self.now, &operation);
        said.unwrap_or_else(|error| panic!("{error}: {:#?}", self.trace))
    }

    /// People take it back; WeChat has nothing of it.
    fn withdraw(&mut self, refund: &Refund) {
        let who = if self.rng.random() { "three" } else { "four" };
        let command = WithdrawRefund {
            tenant: TENANT,
            refund: refund.id,
            reason: "不退了".into(),
            by: Actor::operator(who),
            claim: self.key(),
        };
        let about = (self.terms(), refund.progress.calls);
        let said = withdraw_in_memory(&mut self.memory, self.now, command, about);
        self.tell(format!(
            "{who} withdraws {}: {}",
            refund.id,
            outcome_text(&said)
        ));
        let first = refund.progress.withdrawal.as_ref();
        match said {
            Ok(now) if now.state == RefundState::Withdrawn => {
                let alone = refund.amount.get() <= REVIEW_ABOVE;
                assert!(alone || first.is_some(), "{:#?}", self.trace);
            }
            Ok(now) => assert_eq!(now.state, RefundState::Accepted, "{:#?}", self.trace),
            Err(RefundError::SamePerson) => assert!(first.is_some(), "{:#?}", self.trace),
            Err(error) => panic!("{error:?}: {:#?}", self.trace),
        }
    }

    fn take_refund(&mut self, place: usize, number: String, amount: i64, ours: Option<RefundId>) {
        let wechat = format!("50{}", self.memory.random());
        self.paid[place].theirs.push(Theirs {
            number,
            wechat,
            amount,
            status: RefundStatus::Processing,
            reported: None,
            ours,
        });
    }

    /// WeChat makes a refund of ours that had ended here.
    fn make_after_all(&mut self, place: usize, refund: &Refund) {
        let number = refund.no().to_string();
        let known = self.paid[place].place_of(&number);
        let fits = refund.amount.get() <= self.paid[place].room();
        if known.is_some() || !fits || self.rng.random_range(0..3) > 0 {
            return;
        }
        self.take_refund(place, number, refund.amount.get(), Some(refund.id));
        self.tell(format!("WeChat makes {} after all", refund.id));
    }

    /// Somebody else refunds at WeChat.
    fn add_foreign_refund(&mut self) {
        if let Some(place) = self.some_payment() {
            self.make_elsewhere(place);
        }
    }

    fn make_elsewhere(&mut self, place: usize) {
        let room = self.paid[place].room();
        if room == 0 {
            return;
        }
        let amount = match self.rng.random_range(0..4) {
            0 => room,
            _ => self.rng.random_range(1..=room),
        };
        self.asked += 1;
        let number = format!("X-{}", self.asked);
        self.tell(format!("{number} refunds {amount} of payment {place}"));
        self.take_refund(place, number, amount, None);
        let index = self.paid[place].theirs.len() - 1;
        if self.rng.random() {
            self.paid[place].theirs[index].status = RefundStatus::Success;
        }
    }

    /// A refund moves at WeChat, or is told, or both.
    fn move_theirs(&mut self, place: usize, index: usize) {
        let (room, theirs) = (self.paid[place].room(), &self.paid[place].theirs[index]);
        let (amount, ours, told) = (theirs.amount, theirs.ours, theirs.reported);
        let next = match (theirs.status, self.rng.random_range(0..6)) {
            (RefundStatus::Processing, 0) => RefundStatus::Abnormal,
            (RefundStatus::Processing | RefundStatus::Abnormal, 1) => RefundStatus::Closed,
            (RefundStatus::Processing | RefundStatus::Abnormal, 2..5) => RefundStatus::Success,
            // It had closed it, and then made it all the same.
            (RefundStatus::Closed, 0)
                if ours.is_some() && told == Some(RefundStatus::Closed) && amount <= room =>
            {
                // Ours alone: of another's we should not know what to make of it.
                let ended_here = ours.is_some_and(|id| self.closed_here(id));
                if ended_here {
                    RefundStatus::Success
                } else {
                    RefundStatus::Closed
                }
            }
            (status, _) => status,
        };
        self.paid[place].theirs[index].status = next;
        // An older word comes late, or again.
        let overtaken = told.is_some_and(|told| {
            matches!(told, RefundStatus::Success | RefundStatus::Closed) && told == next
        });
        match self.rng.random_range(0..6) {
            0 => self.tell(format!(
                "payment {place}, {index} is {next:?}: not told yet"
            )),
            1 if overtaken => self.apply_old_status(place, index),
            _ => self.apply_status(place, index, next),
        }
    }

    /// Whether a refund of ours was closed here, and not made after all since.
    fn closed_here(&self, id: RefundId) -> bool {
        self.refund(id).state == RefundState::Closed
    }

    fn said(&self, place: usize, index: usize, status: RefundStatus) -> ChannelRefund {
        let (paid, theirs) = (&self.paid[place], &self.paid[place].theirs[index]);
        ChannelRefund {
            out_refund_no: theirs.number.clone(),
            out_trade_no: OrderNo::from(paid.id).to_string(),
            wechat_refund_id: theirs.wechat.clone(),
            status,
            amount: fen(theirs.amount),
            total: fen(paid.amount),
            succeeded_at: (status == RefundStatus::Success).then_some(self.now),
            received_account: None,
        }
    }

    /// What WeChat says, in a notice or as an answer.
    fn update(
        &self,
        place: usize,
        index: usize,
        status: RefundStatus,
        notice: bool,
    ) -> ApplyRefund {
        let said = self.said(place, index, status);
        if notice {
            let notice = RefundNotice {
                sp_mchid: SP_MCHID.into(),
                sub_mchid: SUB_MCHID.into(),
                wechat_transaction_id: self.paid[place].transaction.clone(),
                refund: said,
            };
            let callback = (self.id(), Bytes::new());
            return ApplyRefund::callback(
                TENANT,
                notice,
                callback,
                SP_MCHID.into(),
                TimeScale::default(),
            );
        }
        // A job asks about a row.
        let row = self.row_of(place, index);
        let number = said.out_refund_no.parse::<RefundNo>().ok();
        let refund = row.map(|row| row.id).or(number.map(RefundNo::id));
        applying(refund, RefundUpdate::Channel(said))
    }

    /// The row that stands for a refund of WeChat's: the newest under its number.
    fn row_of(&self, place: usize, index: usize) -> Option<Refund> {
        let number = &self.paid[place].theirs[index].number;
        let rows = self.paid[place].refunds.iter().map(|id| self.refund(*id));
        let mut rows: Vec<_> = rows.filter(|row| row.out_refund_no() == *number).collect();
        rows.sort_by_key(Refund::is_foreign);
        rows.pop()
    }

    /// Of a refund made after all the row here hears only by the job's query that it is closed.
    fn by_notice(&mut self, place: usize, index: usize, status: RefundStatus) -> bool {
        let after_all = self.row_of(place, index).is_some_and(|row| {
            matches!(row.origin, RefundOrigin::AfterAll { .. }) && status == RefundStatus::Closed
        });
        !after_all && self.rng.random()
    }

    /// We are told how a refund stands by now.
    fn apply_status(&mut self, place: usize, index: usize, status: RefundStatus) {
        let by_notice = self.by_notice(place, index, status);
        let update = self.update(place, index, status, by_notice);
        let said = self.memory.decide(self.now, &update);
        let said = said.unwrap_or_else(|error| panic!("{error}: {:#?}", self.trace));
        self.tell(format!(
            "payment {place}, {index} is {status:?}, by notice {by_notice}: {}",
            moved(&said)
        ));
        match said {
            RefundUpdateOutcome::Now(refund) => {
                let paid = &mut self.paid[place];
                if !paid.refunds.contains(&refund.id) {
                    assert!(refund.is_foreign(), "{:#?}", self.trace);
                    paid.refunds.push(refund.id);
                    paid.unknown = false;
                }
            }
            RefundUpdateOutcome::Before => {}
            // Closed refunds of which we were not told may leave no room in the sum: it comes
            // again.
            RefundUpdateOutcome::Rejected("refund_over_paid")
                if self.knows_too_much(place, index) =>
            {
                return;
            }
            RefundUpdateOutcome::Rejected(_) | RefundUpdateOutcome::Unpaid(_) => {
                panic!("{said:?}: {:#?}", self.trace)
            }
        }
        self.paid[place].theirs[index].reported = Some(status);
    }

    /// Whether refunds that WeChat has closed, and of which we were not told, count against the
    /// order.
    fn knows_too_much(&self, place: usize, index: usize) -> bool {
        let paid = &self.paid[place];
        let rows = self.on_the_table(place);
        let asked: i64 = rows.iter().map(|row| row.amount.get()).sum();
        asked + paid.theirs[index].amount > 2 * paid.amount
    }

    /// What was said earlier comes late: nothing happens.
    fn apply_old_status(&mut self, place: usize, index: usize) {
        let update = self.update(place, index, RefundStatus::Processing, true);
        // Of one that failed here it would be news.
        if self.row_of(place, index).is_none_or(|row| {
            matches!(
                row.state.kind(),
                RefundStateKind::Failed | RefundStateKind::Withdrawn
            )
        }) {
            return;
        }
        let said = self.memory.decide(self.now, &update);
        self.tell(format!("payment {place}, {index} was processing: {said:?}"));
        assert_eq!(said, Ok(RefundUpdateOutcome::Before), "{:#?}", self.trace);
    }

    // -- ends

    /// Something that waits ends one way or another: a hold, or the review of a points transaction
    /// or an order.
    fn end(&mut self) {
        let reviewed = self.under_review();
        let all = self.open.len() + reviewed.len();
        if all == 0 {
            return;
        }
        match self.rng.random_range(0..all) {
            which if which < reviewed.len() => self.end_review(reviewed[which]),
            which => self.end_open(which - reviewed.len()),
        }
    }

    fn under_review(&self) -> Vec<OrderId> {
        let orders = self.paid.iter().map(|paid| paid.id);
        let open = |id: &OrderId| self.memory.now::<Orders>(*id).unwrap().is_under_review();
        orders.filter(open).collect()
    }

    /// The points of a payment are credited or voided, by a person or by the time-out.
    fn end_review(&mut self, order: OrderId) {
        let review = ReviewId::of(order.id());
        let (now, released) = (self.now, self.rng.random_range(0..3) > 0);
        let by_time = self.rng.random_range(0..3) == 0;
        let turned = if by_time {
            self.memory.decide(now, &timing_out(review, then(released)))
        } else {
            self.memory.decide(now, &turning(review, released))
        };
        let state = turned.as_ref().map(|row| row.state.clone());
        self.tell(format!(
            "the review of {order}, by time {by_time}: {state:?}"
        ));
        // While nobody knows what was refunded, a time-out credits nothing.
        let place = self.paid.iter().position(|paid| paid.id == order).unwrap();
        let released = released && !(by_time && self.paid[place].unknown);
        let expected = if released {
            PointsReview::Credited
        } else {
            PointsReview::Voided
        };
        assert_eq!(self.order(place).review, expected, "{:#?}", self.trace);
    }

    fn end_open(&mut self, place: usize) {
        let open = self.open[place];
        let ends = ends_of(open);
        let how = ends[self.rng.random_range(0..ends.len())];
        let said = match open {
            Open::Hold(points_transaction, held) => {
                let operation = points::ending(TENANT, points_transaction, end(how, held).as_ref());
                hold_ended(self.memory.decide(self.now, &operation))
            }
            Open::Review(review, _, _) => {
                let turned = self
                    .memory
                    .decide(self.now, &turning(review, how == How::Done));
                let ended = turned.map(|_| Ended::Now);
                ended.map_err(|error| format!("{error:?}"))
            }
        };
        self.tell(format!("{open:?} ends: {how:?}: {said:?}"));
        match said {
            Ok(Ended::Now) => self.ended(place, how),
            Ok(Ended::NotYet) => {}
            Err(error) => panic!("{error}: {:#?}", self.trace),
        }
    }

    fn ended(&mut self, place: usize, how: How) {
        match (self.open.swap_remove(place), how) {
            (Open::Hold(points_transaction, held), How::Done | How::Part) => {
                self.points_transactions.held -= held;
                let part = if how == How::Part { half(held) } else { held };
                self.take(points_transaction, part);
            }
            (Open::Hold(_, held), How::Release | How::TimeOut) => {
                self.points_transactions.held -= held;
            }
            (Open::Review(review, What::Hold, held), How::Done) => {
                // A hold that a review approved goes on as a hold.
                self.open
                    .push(Open::Hold(PointsTransactionId::new(review.cause()), held));
            }
            (Open::Review(review, What::Redeem, points), How::Done) => {
                self.points_transactions.held -= points;
                self.take(PointsTransactionId::new(review.cause()), points);
            }
            (Open::Review(_, What::Redeem | What::Hold, points), _) => {
                self.points_transactions.held -= points;
            }
            (Open::Review(_, What::Award, points), how) => {
                self.points_transactions.given_later -= points;
                self.points_transactions.given += if how == How::Done { points } else { 0 };
            }
        }
    }

    fn expire(&mut self) {
        let expire = ExpireLots {
            tenant: TENANT,
            account: self.account_id(),
            today: self.today(),
        };
        let expired = self.memory.decide(self.now, &expire);
        let expired = expired.unwrap_or_else(|error| panic!("{error}: {:#?}", self.trace));
        self.tell(format!("{} points expire", expired.points));
    }

    // -- after each commit

    /// Writes the batch, and looks at everything.
    fn commit(&mut self) {
        let id = self.account_id();
        let mut lots = self.stock().lots;
        let changes = self.memory.changes::<Lots>();
        for ((account, on), change) in &changes {
            assert_eq!(*account, id);
            let left = lots.entry(*on).or_default();
            *left = left.checked_add(change.remaining).unwrap();
            assert!(
                *left >= 0,
                "the lot of {on} is below zero: {:#?}",
                self.trace
            );
        }
        lots.retain(|_, left| *left != 0);
        for (account, mut row) in self.memory.changes::<LotsOf>() {
            row.retain(|_, left| *left != 0);
            assert_eq!((account, &row), (id, &lots), "{:#?}", self.trace);
        }
        let lot_expiries = self.lot_expiries(&changes);
        let mut transfers = self.memory.changes::<Transfers>();
        self.transfers += transfers.len();
        self.memory.commit();
        self.memory.overwrite::<LotsOf>(id, lots);
        for (key, row) in lot_expiries {
            assert!(row.given_back <= row.expired, "{:#?}", self.trace);
            self.memory.overwrite::<LotExpiries>(key, row);
        }
        for (_, transfer) in &transfers {
            if matches!(transfer.phase, Phase::Posted | Phase::Post) {
                *self.money.entry(transfer.credit).or_default() += transfer.amount;
                *self.money.entry(transfer.debit).or_default() -= transfer.amount;
            }
        }
        transfers.retain(|(_, transfer)| transfer.constrained_account() == Some(id));
        transfers.sort_by_key(|(_, transfer)| transfer.account_version);
        let debt = AccountId::customer_debt(self.customer);
        for (_, transfer) in &transfers {
            let settled = self.replay.settled(Some(transfer));
            assert_eq!(settled, Ok(()), "{transfer:?}: {:#?}", self.trace);
            let of = self.returns.get(&transfer.id.entry.cause()).copied();
            let played = self.replay.play(transfer, of);
            assert_eq!(played, Ok(()), "{transfer:?}: {:#?}", self.trace);
            self.owed += i64::from(transfer.debit == debt) * transfer.amount;
            self.owed -= i64::from(transfer.credit == debt) * transfer.amount;
            let expires = transfer.id.entry.kind() == Some(EntryKind::PointsExpired);
            self.expired += i64::from(expires) * transfer.amount;
        }
    }

    /// What expired of lots by now: the batch says by how much it changes, and what was given back.
    fn lot_expiries(
        &self,
        changes: &[((AccountId, BusinessDay), ledger::LotChange)],
    ) -> BTreeMap<(AccountId, BusinessDay), LotExpiry> {
        let written = self.memory.changes::<LotExpiries>();
        let given_back: HashMap<_, _> = written.into_iter().collect();
        let keys = changes.iter().map(|(key, _)| *key);
        let keys = keys.chain(given_back.keys().copied());
        let none = LotExpiry {
            expired: 0,
            given_back: 0,
        };
        let row = |key: (AccountId, BusinessDay)| {
            let mut row = self.memory.row::<LotExpiries>(key).unwrap_or(none);
            let change = changes.iter().find(|(changed, _)| *changed == key);
            row.expired += change.map_or(0, |(_, change)| change.expired);
            if let Some(written) = given_back.get(&key) {
                row.given_back = written.given_back;
            }
            (key, row)
        };
        keys.map(row).collect()
    }

    /// Everything that must hold between two commits.
    fn look(&self) {
        let (account, stock, today) = (self.account(), self.stock(), self.today());
        let free = stock.free(today).unwrap();
        let sums = (account.posted(), account.debits_pending, account.debt.get());
        let said = (stock.posted().unwrap(), stock.held().unwrap(), self.owed);
        assert_eq!(sums, said, "{:#?}", self.trace);
        for day in stock.holds.keys() {
            let spare = stock.spare(*day).unwrap();
            assert!(spare >= 0, "{day}: {spare} {stock:?} {:#?}", self.trace);
        }
        assert!(free >= 0, "{free} {stock:?} {:#?}", self.trace);
        assert!(
            account.debt.is_zero() || free == 0,
            "{} owed, {free} free: {stock:?} {:#?}",
            account.debt,
            self.trace
        );
        assert_eq!(self.replay.settled(None), Ok(()), "{:#?}", self.trace);
        let mut replayed = self.replay.stock();
        replayed.lots.retain(|_, left| *left != 0);
        assert_eq!(replayed, stock, "{:#?}", self.trace);
        let mut on_their_way = 0;
        for place in 0..self.paid.len() {
            on_their_way += self.look_at_payment(place);
        }
        self.look_at_points(&account);
        self.look_at_money(on_their_way);
        self.look_at_rules();
        self.look_at_lot_expiries();
    }

    /// What lots count as given back of what expired is what refunds that count against their
    /// orders say.
    fn look_at_lot_expiries(&self) {
        let mut said: BTreeMap<BusinessDay, i64> = BTreeMap::new();
        for place in 0..self.paid.len() {
            let order = self.order(place);
            let lot = order
                .state
                .payment()
                .map(|payment| payment.points_expired_from);
            let expired = self.on_the_table(place).into_iter();
            let expired = expired.map(|row| row.points.expired.get()).sum::<i64>();
            *said.entry(lot.unwrap_or(BusinessDay::NEVER)).or_default() += expired;
        }
        for (lot, said) in said {
            let row = self.memory.row::<LotExpiries>((self.account_id(), lot));
            let counted = row.map_or(0, |row| row.given_back);
            assert_eq!(counted, said, "{lot}: {:#?}", self.trace);
        }
    }

    /// A payment and its refunds, here and at WeChat. Gives the money of ours that is on its way.
    fn look_at_payment(&self, place: usize) -> i64 {
        let (paid, order) = (&self.paid[place], self.order(place));
        let rows: Vec<_> = paid.refunds.iter().map(|id| self.refund(*id)).collect();
        let about = || format!("{order:?} {rows:?} {paid:?} {:#?}", self.trace);
        let table = || {
            rows.iter()
                .filter(|row| row.state.kind().counts_against_order())
        };
        let sum = |of: &dyn Fn(&Refund) -> i64| table().map(of).sum::<i64>();
        let (asked, back) = (
            sum(&|row| row.amount.get()),
            sum(&|row| row.points.due.get()),
        );
        let withheld = sum(&|row| row.points.withheld.get());
        let sums = order.refunds;
        let counted = (sums.asked.get(), sums.points.get(), sums.withheld.get());
        assert_eq!(counted, (asked, back, withheld), "{}", about());
        assert_eq!(sums.done.get(), paid.arrived(), "{}", about());
        assert_eq!(sums.unknown, paid.unknown, "{}", about());
        let refundable = order.refundable().get();
        assert_eq!(refundable, self.left(place), "{}", about());
        // Less than nothing while we were not told yet of one that made room for another.
        let room = paid.reported_room().max(0);
        assert!(refundable <= room, "{room}: {}", about());
        let state = match paid.arrived() {
            0 => super::OrderStateKind::Paid,
            all if all == paid.amount => super::OrderStateKind::Refunded,
            _ => super::OrderStateKind::PartlyRefunded,
        };
        assert_eq!(order.state.kind(), state, "{}", about());
        // All for all, nothing for nothing, else within a point for each refund there ever was.
        let ever = i64::try_from(rows.len()).unwrap() + i64::from(paid.has_foreign());
        let off = (back * paid.amount - paid.earned * asked).abs();
        let exact = asked == paid.amount && rows.iter().all(|row| !row.is_foreign());
        let fits = if exact {
            back == paid.earned
        } else {
            off <= ever * paid.amount
        };
        let voided = order.review == PointsReview::Voided;
        assert!(fits || voided, "{back} for {asked}: {}", about());
        // What was never credited is not taken back.
        let is_credited = !voided && !order.is_under_review();
        for row in &rows {
            let parts = row.points;
            let live = row.state.kind().is_booked() && row.state.kind().counts_against_order();
            let taken = parts.taken().get() + parts.expired.get();
            assert!(is_credited || !live || taken == 0, "{row:?}: {}", about());
            let made_up = parts.taken().get() + parts.expired.get() + parts.withheld.get();
            assert_eq!(made_up, parts.due.get(), "{row:?}: {}", about());
            assert!(parts.shortfall <= parts.taken(), "{row:?}: {}", about());
        }
        for theirs in &paid.theirs {
            look_at_theirs(theirs, &rows, &about);
        }
        let live = |row: &&Refund| !row.is_foreign() && is_booked_and_open(row);
        rows.iter().filter(live).map(|row| row.amount.get()).sum()
    }

    /// The account is what payments were credited and what refunds and back ends did, and no more.
    fn look_at_points(&self, account: &Account) {
        let (mut credited, mut pending, mut taken, mut held) = (0, 0, 0, 0);
        for (place, paid) in self.paid.iter().enumerate() {
            let order = self.order(place);
            let table = self.on_the_table(place);
            let withheld: i64 = table.iter().map(|row| row.points.withheld.get()).sum();
            match order.review {
                PointsReview::Open => pending += paid.earned,
                PointsReview::Voided => {}
                PointsReview::No | PointsReview::Wanted | PointsReview::Credited => {
                    credited += (paid.earned - withheld).max(0);
                }
            }
            for row in table {
                let points = row.points.taken().get();
                if is_arrived(&row) {
                    taken += points;
                } else if !row.is_foreign() && is_booked_and_open(&row) {
                    held += points;
                }
            }
        }
        let points_transactions = &self.points_transactions;
        let has = credited - taken + points_transactions.given - points_transactions.spent
            + points_transactions.returned
            - self.expired;
        let said = account.posted() - account.debt.get();
        assert_eq!(
            said, has,
            "{credited} {taken} {points_transactions:?} {:#?}",
            self.trace
        );
        let held = held + points_transactions.held;
        assert_eq!(account.debits_pending, held, "{:#?}", self.trace);
        let coming = pending + points_transactions.given_later;
        assert_eq!(account.credits_pending, coming, "{:#?}", self.trace);
    }

    fn look_at_money(&self, on_their_way: i64) {
        let has = |account: AccountId| self.money.get(&account).copied().unwrap_or(0);
        let paid: i64 = self.paid.iter().map(|paid| paid.amount).sum();
        let arrived: i64 = self.paid.iter().map(Paid::arrived).sum();
        let channel = AccountId::of_tenant(TENANT, AccountKind::ChannelReceivable);
        let transit = AccountId::of_tenant(TENANT, AccountKind::RefundsInTransit);
        let merchant = AccountId::merchant_payable(self.merchant);
        let said = (has(channel), has(transit), has(merchant));
        let expected = (arrived - paid, on_their_way, paid - arrived - on_their_way);
        assert_eq!(said, expected, "{:#?}", self.trace);
    }

    /// What versions of the rule with a total cap have handed out.
    fn look_at_rules(&self) {
        for rule in RULES {
            let cap = terms(rule).total_cap;
            let row = self.memory.row::<Budgets>((TENANT, rule));
            let granted = row.map_or(0, |row| row.granted.get());
            let expected = cap.map_or(0, |_| self.handed_out(rule).max(0));
            assert_eq!(granted, expected, "rule {rule}: {:#?}", self.trace);
            let cap = cap.map_or(i64::MAX, Points::get);
            assert!(granted <= cap, "rule {rule}: {:#?}", self.trace);
        }
    }

    // -- what would be

    /// That what is free can be taken and no more, and that whatever is open can end either way.
    fn try_all(&mut self) {
        let free = self.stock().free(self.today()).unwrap();
        for (amount, can) in [(free, free > 0), (free + 1, false)] {
            if amount == 0 {
                continue;
            }
            let command = self.command(Instruction::Deduct, amount);
            let deduct = points::executing(command, Evaluation::default());
            let taken = self.would(&deduct);
            assert_eq!(taken.is_ok(), can, "{free} {taken:?} {:#?}", self.trace);
        }
        for open in self.open.clone() {
            for how in ends_of(open) {
                let said = match open {
                    Open::Hold(points_transaction, held) => {
                        let operation =
                            points::ending(TENANT, points_transaction, end(*how, held).as_ref());
                        hold_ended(self.would(&operation))
                    }
                    Open::Review(review, _, _) => {
                        let turned = self.would(&turning(review, *how == How::Done));
                        let ended = turned.map(|_| Ended::Now);
                        ended.map_err(|error| format!("{error:?}"))
                    }
                };
                if let Err(error) = said {
                    panic!("{open:?} cannot end {how:?}: {error}: {:#?}", self.trace);
                }
            }
        }
        for order in self.under_review() {
            let review = ReviewId::of(order.id());
            for released in [true, false] {
                let said = self.would(&turning(review, released));
                assert!(said.is_ok(), "{said:?}: {:#?}", self.trace);
            }
        }
        for place in 0..self.paid.len() {
            for refund in self.on_the_table(place) {
                self.try_refund(place, &refund);
            }
        }
    }

    /// A refund that counts against the order can end either way.
    fn try_refund(&mut self, place: usize, refund: &Refund) {
        if refund.state == RefundState::AwaitingApproval {
            for agree in [true, false] {
                let (decision, terms) = (self.decision(refund.id, agree), self.terms());
                let said = in_memory::would_decide(&self.memory, self.now, decision, terms);
                self.check_decided(refund, agree, said);
            }
        }
        if !is_booked_and_open(refund) {
            return;
        }
        let paid = &self.paid[place];
        let too_much = paid.arrived() + refund.amount.get() > paid.amount;
        for status in [RefundStatus::Success, RefundStatus::Closed] {
            let said = ChannelRefund {
                out_refund_no: refund.out_refund_no(),
                out_trade_no: OrderNo::from(paid.id).to_string(),
                wechat_refund_id: self.wechat_of(place, refund),
                status,
                amount: refund.amount,
                total: fen(paid.amount),
                succeeded_at: None,
                received_account: None,
            };
            let update = applying(Some(refund.id), RefundUpdate::Channel(said));
            let would = self.would(&update);
            let refused = too_much && status == RefundStatus::Success;
            let fits = match &would {
                Ok(RefundUpdateOutcome::Now(now)) => !refused && now.state.kind().is_final(),
                Ok(RefundUpdateOutcome::Rejected("refund_over_paid")) => refused,
                _ => false,
            };
            assert!(fits, "{refund:?} {status:?}: {would:?} {:#?}", self.trace);
        }
    }

    fn wechat_of(&self, place: usize, refund: &Refund) -> String {
        let known = self.paid[place].place_of(&refund.out_refund_no());
        known.map_or_else(
            || "5099".to_owned(),
            |index| self.paid[place].theirs[index].wechat.clone(),
        )
    }

    fn would<O: Operation>(&self, operation: &O) -> Result<O::Reply, O::Refusal> {
        self.memory.dry_run(
            self.now,
            |want, set| operation.rows(want, set),
            |set, cx| operation.decide(set, cx),
        )
    }
}

/// What was told of a refund of WeChat's is what one row says.
fn look_at_theirs(theirs: &Theirs, rows: &[Refund], about: &dyn Fn() -> String) {
    let of = rows
        .iter()
        .filter(|row| row.out_refund_no() == theirs.number);
    let live: Vec<_> = of
        .filter(|row| row.state.kind().counts_against_order())
        .map(|row| (row.state.kind(), row.amount.get()))
        .collect();
    let expected = match theirs.reported {
        None => return,
        Some(RefundStatus::Success) => vec![RefundStateKind::Succeeded],
        Some(RefundStatus::Processing) => vec![RefundStateKind::Processing],
        Some(RefundStatus::Abnormal) => vec![RefundStateKind::Abnormal],
        Some(RefundStatus::Closed) => Vec::new(),
    };
    let expected: Vec<_> = expected
        .into_iter()
        .map(|kind| (kind, theirs.amount))
        .collect();
    assert_eq!(live, expected, "{theirs:?}: {}", about());
}

fn source() -> Source {
    Source::parse("crm").unwrap()
}

fn operator(name: &str) -> RefundBy {
    RefundBy {
        actor: Actor::operator(name),
        role: RefundRole::Operator,
    }
}

fn to_review(stage: Stage, now: Timestamp) -> Evaluation {
    Evaluation::new(Decision {
        rule_set: 0,
        action: Action::Review,
        facts: Facts::new(stage, TENANT, now),
        measured: CounterValues::default(),
        fired: Vec::new(),
        answered: None,
    })
}

const fn then(released: bool) -> TimeoutDecision {
    if released {
        TimeoutDecision::Approve
    } else {
        TimeoutDecision::Reject
    }
}

fn later(problem: &str, unsure: bool) -> RefundUpdate {
    RefundUpdate::Later {
        problem: problem.to_owned(),
        detail: String::new(),
        unsure,
    }
}

fn applying(refund: Option<RefundId>, update: RefundUpdate) -> ApplyRefund {
    ApplyRefund::answer(
        (TENANT, refund),
        update,
        SystemActor::WeChat.into(),
        TimeScale::default(),
    )
}

fn is_arrived(refund: &Refund) -> bool {
    refund.state.kind() == RefundStateKind::Succeeded
}

fn is_booked_and_open(refund: &Refund) -> bool {
    let kind = refund.state.kind();
    kind.is_booked() && !kind.is_final()
}

/// WeChat has nothing of it, as far as is known here.
const fn is_before_wechat(refund: &Refund) -> bool {
    matches!(
        refund.state,
        RefundState::AwaitingApproval
            | RefundState::Accepted
            | RefundState::Failed
            | RefundState::Withdrawn
    )
}

fn outcome_text(said: &Result<Refund, RefundError>) -> String {
    match said {
        Ok(refund) => format!("{} {:?} {:?}", refund.id, refund.state, refund.points),
        Err(error) => format!("{error:?}"),
    }
}

fn moved(said: &RefundUpdateOutcome) -> String {
    match said {
        RefundUpdateOutcome::Now(refund) => {
            format!("{} {:?} {:?}", refund.id, refund.state, refund.points)
        }
        RefundUpdateOutcome::Before
        | RefundUpdateOutcome::Unpaid(_)
        | RefundUpdateOutcome::Rejected(_) => {
            format!("{said:?}")
        }
    }
}

/// How something ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Done,
    Part,
    Release,
    TimeOut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Now,
    /// It is not time yet, or no time any more.
    NotYet,
}

const fn ends_of(open: Open) -> &'static [How] {
    match open {
        Open::Review(..) => &[How::Done, How::Release],
        Open::Hold(..) => &[How::Done, How::Part, How::Release, How::TimeOut],
    }
}

const fn half(held: i64) -> i64 {
    (held + 1) / 2
}

fn end(how: How, held: i64) -> Option<End> {
    match how {
        How::Done => Some(End::Capture { points: None }),
        How::Part => Some(End::Capture {
            points: Some(points(half(held))),
        }),
        How::Release => Some(End::Release),
        How::TimeOut => None,
    }
}

fn hold_ended(ended: Result<points::PointsTransaction, PointsError>) -> Result<Ended, String> {
    match ended {
        Ok(_) => Ok(Ended::Now),
        // Its time is over, or is not: the job ends it, or does not yet.
        Err(PointsError::State(_)) => Ok(Ended::NotYet),
        Err(error) => Err(format!("{error:?}")),
    }
}

fn play(seed: u64) {
    let mut history = History::begin(seed);
    let mut step = 0;
    while step < STEPS {
        let together = history.rng.random_range(1..4);
        if together > 1 {
            history.load();
        }
        for _ in 0..together {
            history.step();
            step += 1;
        }
        history.commit();
        history.look();
        if step >= STEPS || history.rng.random_range(0..4) == 0 {
            history.try_all();
        }
        if history.rng.random_range(0..3) == 0 {
            let quarters = history.rng.random_range(1..7);
            history.now = history.now.plus_seconds(quarters * PAUSE_SECONDS);
            let today = history.today();
            history.tell(format!("it is {today}"));
        } else {
            history.now = history.now.plus_seconds(1);
        }
    }
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
fn random_histories_of_points_leave_nothing_that_cannot_end() {
    if let Some(seed) = asked("ZHANGFANG_MODEL_SEED") {
        return play(seed);
    }
    let from = asked("ZHANGFANG_MODEL_FROM").unwrap_or(0);
    let histories = asked("ZHANGFANG_MODEL_HISTORIES").unwrap_or(HISTORIES);
    for seed in from..from + histories {
        play(seed);
    }
}
