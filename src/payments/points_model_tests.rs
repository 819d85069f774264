//! Points, played at random without a database: payments, refunds that arrive, fail or are closed, awards, deductions, redemptions, holds, reviews, expiry and midnights, over lots that
//! end and lots that never do. What is run is what the service runs (the operations of deeds and reviews, the bookings of payments and refunds, expiry), on rows in memory.
//!
//! After every commit of one to three of them (the last every now and then, and at the end):
//!
//! - the account is what its lots and holds add up to, and its debt what was lent and not repaid;
//! - the replay that `verify-ledger` makes of the transfers finds nothing wrong, and arrives at the same lots and holds;
//! - every hold can be posted: for each day, what was set aside on it or later is in lots that are not over on it;
//! - who owes points has none free;
//! - what is free is what can be deducted, to the point;
//! - whatever is open can end either way: each refund can arrive and be closed, each hold be captured, in part too, and let go, each review be decided.
//!
//! `ZHANGFANG_MODEL_HISTORIES=100000` plays more histories than an ordinary run does, and `ZHANGFANG_MODEL_SEED=…` one alone.

use std::sync::Arc;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    Attempts, Late, Order, OrderSharing, OrderState, Origin, PayMethod, Payment, PointsBack,
    PointsReview, PointsShortfall, Progress, Refund, RefundError, RefundState, RefundSums,
    booking::{book_refund, book_refund_arrived, book_refund_undone, book_settlement},
    credit::{Ruled, hold_points},
    request_refund::want_order_and_points,
    review::turning,
    store::Orders,
};
use crate::{
    audit::Actor,
    db::{Cx, Wanted, WorkingSet, batch::memory::Memory},
    facts::{Facts, Stage},
    ledger::{self, Account, Accounts, Holds, Lots, LotsOf, Stock, Transfers},
    points::{
        self, DeedError, DeedWish, End, Reference, Source, Wanted as Want, expiry::ExpireLots,
    },
    primitives::{
        AccountId, BusinessDay, CustomerId, DeedId, EntryId, EntryKind, Id, Lane, MerchantId,
        Money, OrderId, Points, RefundId, ReviewId, TenantId, Timestamp,
    },
    risk::{Action, Decision, Measured, Ruling},
    verify::LotReplay,
};

/// In an ordinary run. A history in which a repayment may take what is held, or in which what is let go repays nothing, comes within the first hundred.
const HISTORIES: u64 = 300;
const STEPS: usize = 45;
const TENANT: TenantId = TenantId(1);
const LANE: Lane = Lane(1);
/// A quarter of a day, so that a few steps bring a midnight.
const PAUSE_SECONDS: i64 = 21_600;

/// Something that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// By its place among the refunds.
    Refund(usize),
    Hold(DeedId, i64),
    /// With the points of a hold, if it is one that is reviewed.
    Review(ReviewId, Option<i64>),
}

struct History {
    rng: StdRng,
    memory: Memory,
    now: Timestamp,
    customer: CustomerId,
    policy: PointsShortfall,
    orders: Vec<Order>,
    refunds: Vec<(usize, Refund)>,
    open: Vec<Open>,
    asked: u32,
    replay: LotReplay,
    owed: i64,
    story: Vec<String>,
}

fn points(units: i64) -> Points {
    Points::parse(units).unwrap()
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
        Self {
            rng,
            customer: CustomerId::new(Id::mint(1, memory.random(), LANE)),
            memory,
            now: Timestamp::from_micros(1_795_000_000_000_000),
            policy,
            orders: Vec::new(),
            refunds: Vec::new(),
            open: Vec::new(),
            asked: 0,
            replay: LotReplay::default(),
            owed: 0,
            story: vec![format!("seed {seed}, {policy:?}")],
        }
    }

    fn tell(&mut self, what: String) {
        self.story.push(what);
    }

    fn account_id(&self) -> AccountId {
        AccountId::customer_points(self.customer)
    }

    fn today(&self) -> BusinessDay {
        self.now.business_day()
    }

    fn stock(&self) -> Stock {
        let id = self.account_id();
        let holds = self.memory.row::<Holds>(id);
        Stock {
            lots: self.memory.row::<LotsOf>(id).unwrap_or_default(),
            holds: holds.map(|holds| holds.by_day).unwrap_or_default(),
        }
    }

    fn account(&self) -> Account {
        let account = self.memory.row::<Accounts>(self.account_id());
        account.unwrap_or(Account::empty(TENANT))
    }

    /// A day on which points may be gone: soon, late, or never.
    fn lot(&mut self) -> BusinessDay {
        match self.rng.random_range(0..6) {
            0..3 => BusinessDay::NEVER,
            days => self.today().plus_days(days - 2),
        }
    }

    /// A batch loads what any of its operations wants before it decides the first of them. One alone may not want the lots.
    fn load(&mut self) {
        let account = self.account_id();
        let rows = |want: &mut Wanted, _: &WorkingSet| ledger::want_spending(want, account);
        let loaded = self.memory.run(self.now, rows, |_, _| Ok::<_, ()>(()));
        assert_eq!(loaded, Ok(()));
    }

    fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..22 => self.pay(),
            22..28 => self.award(),
            28..40 => self.spend(),
            40..50 => self.hold(),
            50..68 => self.refund(),
            68..88 => self.end(),
            88..94 => self.expire(),
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

    fn pay(&mut self) {
        let (earns, lot) = (self.rng.random_range(1..12), self.lot());
        let lot = lot.max(self.today().plus_days(1));
        let order = self.order(points(earns), lot);
        let reviewed = self.rng.random_range(0..6) == 0;
        self.tell(format!(
            "a payment earns {earns} until {lot}, reviewed: {reviewed}"
        ));
        let account = self.account_id();
        let rows = |want: &mut Wanted, set: &WorkingSet| ledger::want_crediting(want, set, account);
        let at_once = if reviewed {
            Points::ZERO
        } else {
            points(earns)
        };
        let mut paid = order.clone();
        let booked = self.memory.run(self.now, rows, |set, cx| {
            book_settlement(set, cx, &order, at_once, lot)?;
            if reviewed {
                let payment = order.state.payment().unwrap();
                let held = hold_points(set, cx, &order, payment, (&Ruled::Off, None));
                paid.review = held.expect("points that can be held");
            }
            set.put::<Orders>(order.id, paid.clone());
            Ok::<_, ledger::LedgerError>(())
        });
        booked.unwrap_or_else(|error| panic!("{error}: {:#?}", self.story));
        if reviewed {
            let review = ReviewId::of(paid.id.id());
            self.open.push(Open::Review(review, None));
        } else {
            self.orders.push(paid);
        }
    }

    fn order(&self, earns: Points, lot: BusinessDay) -> Order {
        let id = Id::mint(self.now.millis(), self.memory.random(), LANE);
        Order {
            id: OrderId::new(id),
            tenant: TENANT,
            customer: Some(self.customer),
            merchant: MerchantId::new(Id::mint(1, 1, LANE)),
            code: None,
            method: PayMethod::MiniProgram,
            sub_mchid: "1900000109".into(),
            description: "茶里巷".into(),
            amount: Money::parse(100_000).unwrap(),
            sharing: OrderSharing::No,
            review: PointsReview::No,
            expires_at: self.now,
            version: 3,
            state: OrderState::Paid(Payment {
                paid_at: self.now,
                wechat_transaction_id: "42".into(),
                points: earns,
                rule_version: 1,
                points_expire_on: Some(lot),
                settled_by: None,
                late: Late::No,
            }),
            refunds: RefundSums::NONE,
        }
    }

    fn wish(&mut self, wanted: Want, amount: i64) -> DeedWish {
        self.asked += 1;
        DeedWish {
            tenant: TENANT,
            customer: self.customer,
            wanted,
            points: points(amount),
            source: Source::parse("crm").unwrap(),
            reference: Reference::parse(&format!("d-{}", self.asked)).unwrap(),
            reason: "测试".into(),
            order: None,
            merchant: None,
            by: Actor::new("crm"),
        }
    }

    /// What risk says of a deed: now and then that a person must decide.
    fn ruling(&mut self, stage: Stage) -> Ruling {
        if self.rng.random_range(0..5) > 0 {
            return Ruling::default();
        }
        Ruling::new(Decision {
            rule_set: 0,
            action: Action::Review,
            facts: Facts::new(stage, TENANT, self.now),
            measured: Measured::default(),
            fired: Vec::new(),
            answered: None,
        })
    }

    fn ask(&mut self, wanted: Want, amount: i64) {
        let stage = match wanted {
            Want::Award { .. } => Stage::PointsCredit,
            Want::Deduct | Want::Redeem | Want::Hold { .. } => Stage::Redeem,
        };
        let ruling = match wanted {
            Want::Deduct => Ruling::default(),
            Want::Award { .. } | Want::Redeem | Want::Hold { .. } => self.ruling(stage),
        };
        let wish = self.wish(wanted, amount);
        let asked = self.memory.decide(self.now, &points::asking(wish, ruling));
        let told = asked.as_ref().map(|asked| asked.deed.state);
        self.tell(format!("{wanted:?} of {amount}: {told:?}"));
        match asked {
            Ok(asked) => match asked.deed.state {
                points::DeedState::Held => self.open.push(Open::Hold(asked.deed.id, amount)),
                points::DeedState::UnderReview => {
                    let review = ReviewId::of(asked.deed.id.id());
                    let is_hold = matches!(wanted, Want::Hold { .. });
                    let held = is_hold.then_some(amount);
                    self.open.push(Open::Review(review, held));
                }
                points::DeedState::Done
                | points::DeedState::Released
                | points::DeedState::Expired
                | points::DeedState::Refused => {}
            },
            Err(DeedError::Insufficient { available }) => {
                assert!(available.get() < amount, "{:#?}", self.story);
            }
            Err(error) => panic!("{error:?}: {:#?}", self.story),
        }
    }

    fn award(&mut self) {
        let lot = self.lot().max(self.today().plus_days(1));
        let amount = self.rng.random_range(1..10);
        let expires_on = Some(lot);
        self.ask(Want::Award { expires_on }, amount);
    }

    fn spend(&mut self) {
        let amount = self.some();
        let wanted = if self.rng.random_range(0..2) == 0 {
            Want::Deduct
        } else {
            Want::Redeem
        };
        self.ask(wanted, amount);
    }

    fn hold(&mut self) {
        let amount = self.some();
        let minutes = if self.rng.random_range(0..4) == 0 {
            self.rng.random_range(1..2_000)
        } else {
            points::HOLD_MINUTES * 1_000
        };
        self.ask(Want::Hold { minutes }, amount);
    }

    /// A refund of all or a part of a payment sets out.
    fn refund(&mut self) {
        if self.orders.is_empty() {
            return;
        }
        let place = self.rng.random_range(0..self.orders.len());
        let order = self.orders[place].clone();
        let payment = order.state.payment().unwrap();
        let left = payment.points.get() - order.refunds.points.get();
        if left == 0 {
            return;
        }
        let due = match self.rng.random_range(0..3) {
            0 => self.rng.random_range(1..=left),
            _ => left,
        };
        let mut refund = Refund {
            id: RefundId::new(Id::mint(self.now.millis(), self.memory.random(), LANE)),
            tenant: TENANT,
            order: order.id,
            merchant: order.merchant,
            amount: Money::parse(1).unwrap(),
            reason: "缺货".into(),
            requested_by: Actor::new("test"),
            approved_by: None,
            points: PointsBack {
                due: points(due),
                ..PointsBack::NONE
            },
            late: false,
            origin: Origin::Here,
            version: 1,
            state: RefundState::Accepted,
            wechat_refund_id: None,
            received_account: None,
            attempts: Attempts {
                count: 0,
                unsure: false,
                problem: None,
                detail: None,
                next_at: None,
            },
            progress: Progress::default(),
        };
        let policy = self.policy;
        let rows = |want: &mut Wanted, set: &WorkingSet| want_order_and_points(want, set, order.id);
        let booked = self.memory.run(self.now, rows, |set, cx| {
            book_refund(set, cx, &order, &mut refund, policy)
        });
        self.tell(format!(
            "refund {} of payment {place} takes {due} back, {} lent: {booked:?}",
            self.refunds.len(),
            refund.points.lent
        ));
        match booked {
            Ok(()) => {
                let asked = order.ask_refund(refund.amount, points(due));
                self.orders[place] = asked.unwrap();
                self.open.push(Open::Refund(self.refunds.len()));
                self.refunds.push((place, refund));
            }
            Err(RefundError::PointsSpent { .. }) if policy == PointsShortfall::Refuse => {}
            Err(error) => panic!("{error:?}: {:#?}", self.story),
        }
    }

    /// Something that is open ends one way or another.
    fn end(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let place = self.rng.random_range(0..self.open.len());
        let open = self.open[place];
        let ends = ends_of(open);
        let how = ends[self.rng.random_range(0..ends.len())];
        let (tried, said) = (format!("{open:?} ends: {how:?}"), self.end_of(open, how));
        self.tell(format!("{tried}: {said:?}"));
        match said {
            Ok(Ended::Now) => _ = self.open.swap_remove(place),
            Ok(Ended::NotYet) => {}
            Ok(Ended::Holds(deed, amount)) => self.open[place] = Open::Hold(deed, amount),
            Err(error) => panic!("{error}: {:#?}", self.story),
        }
        if let (Open::Refund(number), How::LetGo) = (open, how) {
            let (order, refund) = &self.refunds[number];
            let dropped = self.orders[*order].drop_refund(refund.amount, refund.points);
            self.orders[*order] = dropped.unwrap();
        }
    }

    fn end_of(&mut self, open: Open, how: How) -> Result<Ended, String> {
        let now = self.now;
        match open {
            Open::Refund(number) => {
                let (rows, decide) = self.refund_ends(number, how);
                self.memory.run(now, rows, decide)
            }
            Open::Hold(deed, held) => {
                let operation = points::ending(TENANT, deed, end(how, held).as_ref());
                hold_ended(self.memory.decide(now, &operation))
            }
            Open::Review(review, hold) => {
                let operation = turning(review, how == How::Done);
                let turned = self.memory.decide(now, &operation);
                turned.map_err(|error| format!("{error:?}"))?;
                // A hold that a review let in goes on as a hold.
                let goes_on = hold.filter(|_| how == How::Done);
                let deed = DeedId::new(review.cause());
                Ok(goes_on.map_or(Ended::Now, |left| Ended::Holds(deed, left)))
            }
        }
    }

    #[expect(clippy::type_complexity, reason = "what it wants, and what it does")]
    fn refund_ends(
        &self,
        number: usize,
        how: How,
    ) -> (
        impl Fn(&mut Wanted, &WorkingSet) + use<>,
        impl FnOnce(&mut WorkingSet, &mut Cx<'_>) -> Result<Ended, String> + use<>,
    ) {
        let (order, refund) = &self.refunds[number];
        let (order, refund) = (self.orders[*order].clone(), Arc::new(refund.clone()));
        let (id, clawback) = (
            order.id,
            EntryId::of(refund.id.id(), EntryKind::RefundClawback),
        );
        let rows = move |want: &mut Wanted, set: &WorkingSet| {
            ledger::want_resolution(want, set, clawback, 1);
            want_order_and_points(want, set, id);
            points::want_budget(want, TENANT, 1);
        };
        let decide = move |set: &mut WorkingSet, cx: &mut Cx<'_>| {
            let booked = match how {
                How::LetGo => book_refund_undone(set, cx, &order, &refund),
                How::Done | How::Part | How::TimeOut => {
                    book_refund_arrived(set, cx, &order, &refund)
                }
            };
            booked.map_err(|error| format!("{error:?}"))?;
            Ok(Ended::Now)
        };
        (rows, decide)
    }

    fn expire(&mut self) {
        let expire = ExpireLots {
            tenant: TENANT,
            account: self.account_id(),
            today: self.today(),
        };
        let expired = self.memory.decide(self.now, &expire);
        let expired = expired.unwrap_or_else(|error| panic!("{error}: {:#?}", self.story));
        self.tell(format!("{} points expire", expired.points));
    }

    /// Writes the batch, and looks at everything.
    fn commit(&mut self) {
        let id = self.account_id();
        let mut lots = self.stock().lots;
        for ((account, on), change) in self.memory.changes::<Lots>() {
            assert_eq!(account, id);
            let left = lots.entry(on).or_default();
            *left = left.checked_add(change.remaining).unwrap();
            assert!(
                *left >= 0,
                "the lot of {on} is below zero: {:#?}",
                self.story
            );
        }
        lots.retain(|_, left| *left != 0);
        for (account, mut row) in self.memory.changes::<LotsOf>() {
            row.retain(|_, left| *left != 0);
            assert_eq!((account, &row), (id, &lots), "{:#?}", self.story);
        }
        let mut transfers = self.memory.changes::<Transfers>();
        transfers.retain(|(_, transfer)| transfer.checked_account() == Some(id));
        transfers.sort_by_key(|(_, transfer)| transfer.account_version);
        self.memory.commit();
        self.memory.overwrite::<LotsOf>(id, lots);
        for (_, transfer) in &transfers {
            let settled = self.replay.settled(Some(transfer));
            assert_eq!(settled, Ok(()), "{transfer:?}: {:#?}", self.story);
            let played = self.replay.play(transfer, None);
            assert_eq!(played, Ok(()), "{transfer:?}: {:#?}", self.story);
            let debt = AccountId::customer_debt(self.customer);
            self.owed += i64::from(transfer.debit == debt) * transfer.amount;
            self.owed -= i64::from(transfer.credit == debt) * transfer.amount;
        }
    }

    /// Everything that must hold between two commits.
    fn look(&self) {
        let (account, stock, today) = (self.account(), self.stock(), self.today());
        let free = stock.free(today).unwrap();
        let sums = (account.posted(), account.debits_pending, account.debt.get());
        let said = (stock.posted().unwrap(), stock.held().unwrap(), self.owed);
        assert_eq!(sums, said, "{:#?}", self.story);
        for day in stock.holds.keys() {
            let spare = stock.spare(*day).unwrap();
            assert!(spare >= 0, "{day}: {spare} {stock:?} {:#?}", self.story);
        }
        assert!(
            account.debt.is_zero() || free == 0,
            "{} owed, {free} free: {stock:?} {:#?}",
            account.debt,
            self.story
        );
        assert_eq!(self.replay.settled(None), Ok(()), "{:#?}", self.story);
        let mut replayed = self.replay.stock();
        replayed.lots.retain(|_, left| *left != 0);
        assert_eq!(replayed, stock, "{:#?}", self.story);
    }

    /// That what is free can be taken and no more, and that whatever is open can end either way.
    fn try_all(&mut self) {
        let free = self.stock().free(self.today()).unwrap();
        for (amount, can) in [(free, free > 0), (free + 1, false)] {
            if amount == 0 {
                continue;
            }
            let wish = self.wish(Want::Deduct, amount);
            let deduct = points::asking(wish, Ruling::default());
            let taken = self.would(&deduct);
            assert_eq!(taken.is_ok(), can, "{free} {taken:?} {:#?}", self.story);
        }
        for open in self.open.clone() {
            for how in ends_of(open) {
                let said = match open {
                    Open::Refund(number) => {
                        let (rows, decide) = self.refund_ends(number, *how);
                        self.memory.would(self.now, rows, decide)
                    }
                    Open::Hold(deed, held) => {
                        let operation = points::ending(TENANT, deed, end(*how, held).as_ref());
                        hold_ended(self.would(&operation))
                    }
                    Open::Review(review, _) => {
                        let turned = self.would(&turning(review, *how == How::Done));
                        turned
                            .map(|_| Ended::Now)
                            .map_err(|error| format!("{error:?}"))
                    }
                };
                if let Err(error) = said {
                    panic!("{open:?} cannot end {how:?}: {error}: {:#?}", self.story);
                }
            }
        }
    }

    fn would<O: crate::db::Operation>(&self, operation: &O) -> Result<O::Reply, O::Refusal> {
        self.memory.would(
            self.now,
            |want, set| operation.rows(want, set),
            |set, cx| operation.decide(set, cx),
        )
    }
}

/// How something ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Done,
    Part,
    LetGo,
    TimeOut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Now,
    /// It is not time yet, or no time any more.
    NotYet,
    /// It is a hold from now on.
    Holds(DeedId, i64),
}

const fn ends_of(open: Open) -> &'static [How] {
    match open {
        Open::Refund(_) | Open::Review(..) => &[How::Done, How::LetGo],
        Open::Hold(..) => &[How::Done, How::Part, How::LetGo, How::TimeOut],
    }
}

fn end(how: How, held: i64) -> Option<End> {
    match how {
        How::Done => Some(End::Capture { points: None }),
        How::Part => Some(End::Capture {
            points: Some(points((held + 1) / 2)),
        }),
        How::LetGo => Some(End::Release),
        How::TimeOut => None,
    }
}

fn hold_ended(ended: Result<points::Deed, DeedError>) -> Result<Ended, String> {
    match ended {
        Ok(_) => Ok(Ended::Now),
        // Its time is over, or is not: the job ends it, or does not yet.
        Err(DeedError::State(_)) => Ok(Ended::NotYet),
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
    let histories = asked("ZHANGFANG_MODEL_HISTORIES").unwrap_or(HISTORIES);
    for seed in 0..histories {
        play(seed);
    }
}
