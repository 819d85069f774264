//! Points against a small, obvious model: random histories of payments, refunds, awards,
//! deductions, redemptions, holds and expiry over a few customers, compared after every step; and
//! the same messages in every order in which they may arrive, which must end in the same balances.
//!
//! Everything is drawn from one seed, which is printed; `ZHANGFANG_TEST_SEED=…` plays the same
//! history again.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the seed is given and told on the command line"
)]

pub(crate) mod book;
pub(crate) mod house;

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use zhangfang::{
    payments::{HandledCallback, Refund},
    primitives::{BusinessDay, Clock as _, CustomerId, PointsTransactionId},
};

use book::{Model, Terms};
use house::{House, Paid};

const HISTORIES: usize = 8;
const STEPS: usize = 80;
const CUSTOMERS: usize = 3;
/// Longer than a history.
const HOLD_MINUTES_MAX: u32 = 43_200;

/// One history: what was done so far, here and on paper.
struct Play<'a> {
    house: &'a House,
    model: Model,
    customers: Vec<CustomerId>,
    paid: Vec<Paid>,
    /// With the number of the payment.
    refunds: Vec<(usize, Refund)>,
    /// What WeChat said of refunds, to be said again.
    outcomes: Vec<(usize, Bytes)>,
    holds: BTreeMap<usize, PointsTransactionId>,
    /// Points transactions that took points, as the model numbers them.
    spent: Vec<PointsTransactionId>,
    /// What was done, for whoever must find out what went wrong.
    trace: Vec<String>,
}

fn terms(index: usize, rng: &mut StdRng) -> Terms {
    let mut sometimes = |from: i64, to: i64| {
        let cap = rng.random_range(from..to);
        (cap % 2 == 0).then_some(cap)
    };
    // For what comes about only where points that end meet points that never do.
    let plain = index % 4 == 2;
    Terms {
        daily_cap: sometimes(10, 120).filter(|_| !plain),
        total_cap: sometimes(50, 600).filter(|_| !plain),
        ratio: rng.random_range(1..4),
        days: (rng.random_range(0..4) > 0)
            .then(|| rng.random_range(1..5))
            .filter(|_| !plain),
        refuse: index % 4 == 1,
    }
}

impl<'a> Play<'a> {
    async fn begin(house: &'a House, index: usize, rng: &mut StdRng) -> Self {
        let terms = terms(index, rng);
        house.set_terms(terms).await;
        let now = house.clock.now().seconds();
        let mut customers = Vec::new();
        for who in 0..CUSTOMERS {
            customers.push(house.customer(&format!("{index}-{who}")).await);
        }
        Self {
            house,
            model: Model::new(terms, (house.today(), now), CUSTOMERS),
            customers,
            paid: Vec::new(),
            refunds: Vec::new(),
            outcomes: Vec::new(),
            holds: BTreeMap::new(),
            spent: Vec::new(),
            trace: vec![format!("{terms:?}")],
        }
    }

    fn tell(&mut self, what: String) {
        self.trace.push(what);
    }

    async fn step(&mut self, rng: &mut StdRng) {
        self.pass(1);
        let who = rng.random_range(0..CUSTOMERS);
        match rng.random_range(0..100) {
            0..26 => self.pay(who, rng.random_range(1..4_000)).await,
            26..31 => self.deliver_callback_again(rng).await,
            31..44 => self.ask_some_refund(rng).await,
            44..55 => self.end_some_refund(rng).await,
            55..63 => {
                let lot = match rng.random_range(0..6) {
                    0 => BusinessDay::NEVER,
                    days => self.model.today.plus_days(days),
                };
                self.award(who, rng.random_range(1..40), lot).await;
            }
            63..67 => self.deduct(who, self.some(who, rng)).await,
            67..71 => self.redeem(who, self.some(who, rng)).await,
            71..79 => {
                let minutes = if rng.random_range(0..4) == 0 {
                    rng.random_range(1..3_000)
                } else {
                    HOLD_MINUTES_MAX
                };
                self.hold(who, self.some(who, rng), minutes).await;
            }
            79..86 => self.end_some_hold(who, rng).await,
            86..90 => self.sweep(who).await,
            90..94 => self.give_some_back(rng).await,
            _ => self.sleep(rng.random_range(1..130_000)),
        }
        self.compare().await;
    }

    /// Some points, and often just as many as there are or one more.
    fn some(&self, who: usize, rng: &mut StdRng) -> i64 {
        let all = self.model.spendable(who);
        match rng.random_range(0..5) {
            0 | 1 => all.max(1),
            2 => all + 1,
            _ => rng.random_range(1..=all.max(1)),
        }
    }

    async fn pay(&mut self, who: usize, fen: i64) {
        self.tell(format!("{who} pays {fen}"));
        let key = format!("pay-{}", self.paid.len());
        let paid = self.house.pay(self.customers[who], fen, &key).await;
        assert_eq!(
            self.house.deliver_callback(&paid.notice).await,
            HandledCallback::Settled
        );
        let points = self.model.pay(who, fen);
        assert_eq!(self.house.earned(&paid).await, points, "{:#?}", self.trace);
        self.paid.push(paid);
    }

    /// Repeats a callback, or sends another with the same content; of a payment or of a refund.
    /// Nothing happens.
    async fn deliver_callback_again(&mut self, rng: &mut StdRng) {
        if !self.outcomes.is_empty() && rng.random_range(0..2) == 0 {
            let (refund, notice) = &self.outcomes[rng.random_range(0..self.outcomes.len())];
            assert_eq!(
                self.house.deliver_callback(notice).await,
                HandledCallback::Duplicate
            );
            return self.tell(format!("the outcome of refund {refund} again"));
        }
        if self.paid.is_empty() {
            return;
        }
        let index = rng.random_range(0..self.paid.len());
        let again = if rng.random_range(0..2) == 0 {
            self.paid[index].notice.clone()
        } else {
            self.house.said_again(&self.paid[index])
        };
        assert_eq!(
            self.house.deliver_callback(&again).await,
            HandledCallback::Duplicate
        );
        self.tell(format!("payment {index} again"));
    }

    /// What seldom comes about by chance: points that are spent, refunded, missing, taken back,
    /// missing again and repaid; or the refund is refused.
    async fn prelude(&mut self) {
        self.pay(0, 1_000).await;
        self.deduct(0, self.model.spendable(0)).await;
        for arrived in [false, true] {
            self.ask_refund(0, 1_000).await;
            if let Some(number) = self.model.open_refunds().pop() {
                self.end_refund(number, arrived).await;
            }
            self.compare().await;
        }
        self.sleep(86_400);
        self.pay(0, 500).await;
        self.compare().await;
        self.refunds_of_what_expired().await;
        self.holds_that_outlive().await;
        self.debts_beside_holds().await;
        self.a_loan_that_another_refund_needs().await;
    }

    /// A debt while the rest is held: what the hold makes free repays it.
    async fn debts_beside_holds(&mut self) {
        for less in [None, Some(1)] {
            self.pay(2, 1_000).await;
            let payment = self.paid.len() - 1;
            let all = self.model.spendable(2);
            if all < 2 {
                return;
            }
            self.hold(2, all, HOLD_MINUTES_MAX).await;
            self.ask_refund(payment, 1_000).await;
            if let Some(number) = self.model.open_refunds().pop() {
                self.end_refund(number, true).await;
            }
            self.compare().await;
            let hold = self.model.open_holds(2).pop().unwrap();
            match less {
                Some(less) => self.capture(2, hold, all - less).await,
                None => self.release(2, hold).await,
            }
            self.compare().await;
        }
    }

    /// A refund's shortfall is repaid by a payment that is refunded too, which leaves to the first
    /// refund only points that end tonight. Tomorrow a third refund has a shortfall, and the first
    /// does not happen after all: there is nothing that could repay, and the third still finds what
    /// was credited for it.
    async fn a_loan_that_another_refund_needs(&mut self) {
        let first = self.paid.len();
        self.pay(2, 1_000).await;
        self.pay(2, 1_000).await;
        self.deduct(2, self.model.spendable(2).max(1)).await;
        let open = self.model.open_refunds().len();
        self.ask_refund(first, 1_000).await;
        self.pay(2, 1_000).await;
        self.award(2, 30, self.model.today.plus_days(1)).await;
        self.ask_refund(first + 2, 1_000).await;
        if let Some(number) = self.model.open_refunds().pop() {
            self.end_refund(number, true).await;
        }
        self.compare().await;
        self.sleep(86_400);
        self.ask_refund(first + 1, 1_000).await;
        let refunds: Vec<usize> = self.model.open_refunds().into_iter().skip(open).collect();
        for (index, number) in refunds.into_iter().enumerate() {
            self.end_refund(number, index > 0).await;
            self.compare().await;
        }
    }

    /// Points run out unspent, and the payment is refunded in two parts: before the night's sweep
    /// and after it, and one of them fails.
    async fn refunds_of_what_expired(&mut self) {
        let index = self.paid.len();
        self.pay(2, 1_000).await;
        if let Some(days) = self.model.terms.days {
            self.sleep(86_400 * (i64::from(days) + 1));
        }
        for (fen, arrived, sweeps) in [(400, false, false), (300, true, false), (700, true, true)] {
            if sweeps {
                self.sweep(2).await;
            }
            self.ask_refund(index, fen).await;
            self.compare().await;
            if let Some(number) = self.model.open_refunds().pop() {
                self.end_refund(number, arrived).await;
            }
            self.compare().await;
        }
    }

    /// Lots expire while points of them are held, which are spent in part or as a whole; and a hold
    /// whose time is over.
    async fn holds_that_outlive(&mut self) {
        let soon = self.model.today.plus_days(1);
        self.award(1, 20, soon).await;
        for (points, minutes) in [(7, HOLD_MINUTES_MAX), (6, HOLD_MINUTES_MAX), (2, 1)] {
            self.hold(1, points, minutes).await;
        }
        self.sleep(86_400);
        self.sweep(1).await;
        self.compare().await;
        let holds = self.model.open_holds(1);
        let &[whole, part, over] = holds.as_slice() else {
            panic!("three holds: {holds:?}");
        };
        for (hold, less) in [(whole, 0), (part, 2), (over, 0)] {
            self.capture(1, hold, less).await;
            self.compare().await;
        }
        self.time_out(1, over).await;
        self.sweep(1).await;
        self.compare().await;
        // What the first of them took has run out by now, and is returned all the same; and no more
        // than that.
        let captured = self.spent.len() - 2;
        for points in [7, 1] {
            self.give_back(captured, points).await;
            self.compare().await;
        }
    }

    async fn ask_some_refund(&mut self, rng: &mut StdRng) {
        if self.paid.is_empty() {
            return;
        }
        let index = rng.random_range(0..self.paid.len());
        let whole = self.paid[index].order.amount.get();
        let fen = if rng.random_range(0..2) == 0 {
            whole
        } else {
            rng.random_range(1..=whole)
        };
        self.ask_refund(index, fen).await;
    }

    async fn ask_refund(&mut self, index: usize, fen: i64) {
        self.tell(format!(
            "refund {} of payment {index}: {fen}",
            self.refunds.len()
        ));
        let key = format!("refund-{}-{}", self.customers[0], self.trace.len());
        let asked = self.house.ask_refund(&self.paid[index], fen, &key).await;
        let said = self.model.ask_refund(index, fen);
        let agreed = asked.as_ref().map(|_| ()).map_err(|no| *no) == said;
        assert!(agreed, "{asked:?} {said:?} {:#?}", self.trace);
        if let Ok(refund) = asked {
            // A repeated request with its key is one refund.
            let again = self.house.ask_refund(&self.paid[index], fen, &key).await;
            assert_eq!(again.unwrap().id, refund.id);
            self.refunds.push((index, refund));
        }
    }

    async fn end_some_refund(&mut self, rng: &mut StdRng) {
        let open = self.model.open_refunds();
        if open.is_empty() {
            return;
        }
        let number = open[rng.random_range(0..open.len())];
        self.end_refund(number, rng.random_range(0..3) > 0).await;
    }

    async fn end_refund(&mut self, number: usize, arrived: bool) {
        self.tell(format!("refund {number} arrives: {arrived}"));
        let (payment, refund) = &self.refunds[number];
        let notice = self.house.outcome(&self.paid[*payment], refund, arrived, 1);
        assert_eq!(
            self.house.deliver_callback(&notice).await,
            HandledCallback::Refund
        );
        if arrived {
            self.model.arrive(number);
        } else {
            self.model.undo(number);
        }
        self.outcomes.push((number, notice));
    }

    async fn award(&mut self, who: usize, points: i64, lot: BusinessDay) {
        self.tell(format!("{who} is given {points} until {lot}"));
        self.house.award(self.customers[who], points, lot).await;
        self.model.award(who, points, lot);
    }

    async fn deduct(&mut self, who: usize, points: i64) {
        self.tell(format!("{who} spends {points}"));
        let done = self.house.deduct(self.customers[who], points).await;
        let said = self.model.deduct(who, points);
        assert_eq!(done.map(drop), said, "{:#?}", self.trace);
        self.spent.extend(done);
    }

    async fn redeem(&mut self, who: usize, points: i64) {
        self.tell(format!("{who} redeems {points}"));
        let done = self.house.redeem(self.customers[who], points).await;
        let said = self.model.deduct(who, points);
        assert_eq!(done.map(drop), said, "{:#?}", self.trace);
        self.spent.extend(done);
    }

    async fn hold(&mut self, who: usize, points: i64, minutes: u32) {
        self.tell(format!("{who} holds {points} for {minutes} minutes"));
        let customer = self.customers[who];
        let done = self.house.hold(customer, points, minutes).await;
        let said = self.model.hold(who, points, minutes.into());
        assert_eq!(done.is_ok(), said.is_ok(), "{:#?}", self.trace);
        if let (Ok(points_transaction), Ok(number)) = (done, said) {
            self.holds.insert(number, points_transaction);
        }
    }

    async fn end_some_hold(&mut self, who: usize, rng: &mut StdRng) {
        let open = self.model.open_holds(who);
        if open.is_empty() {
            return;
        }
        let number = open[rng.random_range(0..open.len())];
        let held = self.model.held_by(who, number);
        match rng.random_range(0..6) {
            0 | 1 => self.capture(who, number, 0).await,
            2 | 3 => self.capture(who, number, rng.random_range(0..held)).await,
            4 => self.time_out(who, number).await,
            _ => self.release(who, number).await,
        }
    }

    async fn release(&mut self, who: usize, number: usize) {
        self.tell(format!("{who}: hold {number} is released"));
        self.house.release(self.holds[&number]).await;
        self.model.release(who, number);
    }

    /// All but `less` of the hold.
    async fn capture(&mut self, who: usize, number: usize, less: i64) {
        self.tell(format!("{who}: hold {number} is captured but for {less}"));
        let points = self.model.held_by(who, number) - less;
        let done = self.house.capture(self.holds[&number], points).await;
        let said = self.model.capture(who, number, less);
        assert_eq!(done, said, "{:#?}", self.trace);
        if done.is_ok() {
            self.spent.push(self.holds[&number]);
        }
    }

    /// Returns some points of a points transaction that took some; often all, or one more than
    /// that.
    async fn give_some_back(&mut self, rng: &mut StdRng) {
        if self.spent.is_empty() {
            return;
        }
        let number = rng.random_range(0..self.spent.len());
        let left: i64 = self.model.spent[number].1.values().sum();
        let points = match rng.random_range(0..4) {
            0 => left + 1,
            1 => left.max(1),
            _ => rng.random_range(1..=left.max(1)),
        };
        self.give_back(number, points).await;
    }

    async fn give_back(&mut self, number: usize, points: i64) {
        self.tell(format!(
            "{points} of what points transaction {number} took go back"
        ));
        let done = self.house.give_back(self.spent[number], points).await;
        let said = self.model.give_back(number, points);
        assert_eq!(done, said, "{:#?}", self.trace);
    }

    async fn time_out(&mut self, who: usize, number: usize) {
        self.tell(format!("{who}: hold {number} is timed out"));
        let done = self.house.time_out(self.holds[&number]).await;
        let said = self.model.time_out(who, number);
        assert_eq!(done, said, "{:#?}", self.trace);
    }

    async fn sweep(&mut self, who: usize) {
        self.tell(format!("{who}'s points expire"));
        let gone = self.house.sweep(self.customers[who]).await;
        let said = self.model.expire(who);
        assert_eq!(gone, said, "{:#?}", self.trace);
    }

    fn sleep(&mut self, seconds: i64) {
        self.pass(seconds);
        self.tell(format!("it is {}", self.model.today));
    }

    fn pass(&mut self, seconds: i64) {
        self.house.clock.advance_seconds(seconds);
        self.model.today = self.house.today();
        self.model.now = self.house.clock.now().seconds();
    }

    /// Everybody's points are what the model says, in every respect.
    async fn compare(&self) {
        for (customer, said) in self.customers.iter().zip(&self.model.purses) {
            let (found, posted, held) = self.house.purse(*customer).await;
            let agree = found.lots == said.lots
                && found.debt == said.debt
                && found.earned == said.earned
                && (posted, held) == (said.posted(), said.held());
            assert!(
                agree,
                "{found:?} with {posted} posted and {held} held, where the model says {said:?}: {:#?}",
                self.trace
            );
        }
        if self.model.terms.total_cap.is_some() {
            let granted = self.house.granted().await;
            assert_eq!(granted, self.model.granted, "{:#?}", self.trace);
        }
    }
}

fn seed() -> u64 {
    let seed = std::env::var("ZHANGFANG_TEST_SEED")
        .map_or_else(|_| rand::random(), |text| text.parse().unwrap());
    println!("ZHANGFANG_TEST_SEED={seed}");
    seed
}

#[tokio::test(flavor = "multi_thread")]
async fn random_histories_of_points_agree_with_the_model_after_every_step() {
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let house = House::open(seed).await;
    let mut happened: BTreeMap<&str, usize> = BTreeMap::new();
    for index in 0..HISTORIES {
        let mut play = Play::begin(&house, index, &mut rng).await;
        play.prelude().await;
        for _ in 0..STEPS {
            play.step(&mut rng).await;
        }
        for (what, times) in play.model.seen {
            *happened.entry(what).or_default() += times;
        }
    }
    println!("{happened:?}");
    assert!(
        happened.len() == 19 && happened.values().all(|times| *times > 0),
        "days on which too little happened: {happened:?}"
    );
    house.finish().await;
}

/// A message, or a person's request, on its way to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    Paid,
    /// That callback once more.
    PaidTwin,
    /// Another callback that says the same.
    PaidAgain,
    RefundAsked,
    Outcome,
    OutcomeAgain,
    Redeemed,
    /// The nightly run comes by.
    Swept,
}

/// WeChat can say what became of a refund only after it was asked for it. Nothing else is bound to
/// an order.
fn causality_allows(order: &[Arrival]) -> bool {
    let at = |what| order.iter().position(|arrival| *arrival == what);
    let asked = at(Arrival::RefundAsked);
    [Arrival::Outcome, Arrival::OutcomeAgain]
        .into_iter()
        .all(|outcome| at(outcome).is_none() || at(outcome) > asked)
}

fn orders_of(arrivals: &[Arrival]) -> Vec<Vec<Arrival>> {
    let Some((first, rest)) = arrivals.split_first() else {
        return vec![Vec::new()];
    };
    let mut orders = Vec::new();
    for order in orders_of(rest) {
        for index in 0..=order.len() {
            let mut longer = order.clone();
            longer.insert(index, *first);
            orders.push(longer);
        }
    }
    orders
}

/// What a customer has before the messages come, and what the refund comes to.
#[derive(Debug, Clone, Copy)]
struct Before {
    /// Of the ten points that the refunded payment earned.
    spent: i64,
    awarded: i64,
    /// Awarded the day before, and over already: the run takes them whenever it comes, but for what
    /// is held just then.
    over: i64,
    arrived: bool,
    /// Points posted, held and owed at the end.
    ends_with: (i64, i64, i64),
}

/// One customer to whom the messages come in this order; what they have at the end.
async fn end_of(house: &House, name: &str, before: Before, order: &[Arrival]) -> (i64, i64, i64) {
    let customer = house.customer(name).await;
    let refunded = house.pay(customer, 1_000, "refunded").await;
    assert_eq!(
        house.deliver_callback(&refunded.notice).await,
        HandledCallback::Settled
    );
    if before.spent > 0 {
        _ = house.deduct(customer, before.spent).await.unwrap();
    }
    if before.awarded > 0 {
        let lot = house.today().plus_days(20);
        house.award(customer, before.awarded, lot).await;
    }
    let paid = house.pay(customer, 800, "paid").await;
    let mut refund = None;
    for arrival in order {
        match arrival {
            Arrival::Paid | Arrival::PaidTwin => drop(house.deliver_callback(&paid.notice).await),
            Arrival::PaidAgain => drop(house.deliver_callback(&house.said_again(&paid)).await),
            Arrival::RefundAsked => {
                let asked = house.ask_refund(&refunded, 1_000, name).await;
                refund = Some(asked.unwrap());
            }
            Arrival::Outcome | Arrival::OutcomeAgain => {
                let number = u8::from(*arrival == Arrival::Outcome);
                let refund = refund.as_ref().unwrap();
                let said = house.outcome(&refunded, refund, before.arrived, number);
                house.deliver_callback(&said).await;
            }
            Arrival::Redeemed => drop(house.redeem(customer, 5).await.unwrap()),
            Arrival::Swept => _ = house.sweep(customer).await,
        }
    }
    // The next night: what was held in between and is over goes now.
    house.sweep(customer).await;
    let (purse, posted, held) = house.purse(customer).await;
    (posted, held, purse.debt)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_in_any_order_that_causality_allows_end_in_the_same_balances() {
    use Arrival::{Outcome, OutcomeAgain, Paid, PaidAgain, PaidTwin, Redeemed, RefundAsked, Swept};
    let house = House::open(1).await;
    house
        .set_terms(Terms {
            ratio: 1,
            daily_cap: None,
            total_cap: None,
            days: Some(10),
            refuse: false,
        })
        .await;
    let with_redemption = [
        Paid,
        PaidAgain,
        RefundAsked,
        Outcome,
        OutcomeAgain,
        Redeemed,
    ];
    let without = [
        Paid,
        PaidTwin,
        PaidAgain,
        RefundAsked,
        Outcome,
        OutcomeAgain,
    ];
    let with_sweep = [Paid, Swept, RefundAsked, Outcome, OutcomeAgain, Redeemed];
    let sweep_without = [Paid, PaidAgain, Swept, RefundAsked, Outcome, OutcomeAgain];
    let before = |spent, awarded, over, arrived, ends_with| Before {
        spent,
        awarded,
        over,
        arrived,
        ends_with,
    };
    // The redemption is covered whatever comes first: what is refused in one order and not in
    // another is another history.
    let cases = [
        (
            before(0, 15, 0, true, (18, 0, 0)),
            with_redemption.as_slice(),
        ),
        (
            before(0, 15, 0, false, (28, 0, 0)),
            with_redemption.as_slice(),
        ),
        // The points of the payment are spent: they are a shortfall, and repaid by whatever comes
        // in.
        (before(10, 0, 0, true, (0, 0, 2)), without.as_slice()),
        (before(10, 0, 0, false, (8, 0, 0)), without.as_slice()),
        // Points that are over cover nothing, whether they are there or gone.
        (before(0, 15, 7, true, (18, 0, 0)), with_sweep.as_slice()),
        (before(0, 15, 7, false, (28, 0, 0)), with_sweep.as_slice()),
        (before(10, 0, 7, true, (0, 0, 2)), sweep_without.as_slice()),
        (before(10, 0, 7, false, (8, 0, 0)), sweep_without.as_slice()),
    ];
    let named = |number, chunk, index| format!("{number}-{chunk}-{index}");
    // What is over when the messages come was given the day before.
    for (number, (before, _)) in cases.iter().enumerate() {
        if before.over > 0 {
            let soon = house.today().plus_days(1);
            for chunk in 0..10 {
                let given = (0..24).map(|place| {
                    let name = named(number, chunk, place);
                    let house = &house;
                    async move {
                        let customer = house.customer(&name).await;
                        house.award(customer, before.over, soon).await;
                    }
                });
                futures_util::future::join_all(given).await;
            }
        }
    }
    house.clock.advance_seconds(86_400);
    for (number, (before, arrivals)) in cases.into_iter().enumerate() {
        let mut orders = orders_of(arrivals);
        orders.retain(|order| causality_allows(order));
        assert_eq!(orders.len(), 240);
        for (chunk, some) in orders.chunks(24).enumerate() {
            let ends = some.iter().enumerate().map(|(index, order)| {
                let name = named(number, chunk, index);
                let house = &house;
                async move { end_of(house, &name, before, order).await }
            });
            let ends = futures_util::future::join_all(ends).await;
            for (order, end) in some.iter().zip(ends) {
                assert_eq!(end, before.ends_with, "{before:?} {order:?}");
            }
        }
    }
    house.finish().await;
}
