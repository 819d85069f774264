//! The facts of orders that risk needs before a payment is settled, in memory.
//!
//! Risk is evaluated before the settlement is queued, because an operation does no I/O; the order
//! is loaded only by the batch. So the facts of orders that were made lately are kept in this
//! process ([`RecentOrders::note`]). The facts of other orders are read from the database: all that
//! are missing at one time in one statement, since a query for each callback would cost the hot
//! path a third of its throughput.
//!
//! Beside the facts stands the evaluation of the order's points. A payment that is told twice, or
//! again after the database was unavailable, is evaluated once; otherwise it would count twice in
//! every counter.
//!
//! This is a cache: what is evicted is read again, and the settlement decides on what it loads.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sqlx::Row as _;
use tokio::sync::{OnceCell, oneshot};

use super::Order;
use crate::{
    db::{Db, DbError, Sql},
    facts::{Origin, Stage},
    primitives::{CustomerId, MerchantId, Money, OrderId, TenantId, Timestamp},
    risk::{Action, Decision, Evaluation, read_decision, rules_wanting_review},
};

/// Two generations of this many orders each are kept, or of this many seconds, whichever is over
/// first: an order is known for one and a half to three hours.
const ORDERS_MAX: usize = 50_000;
const SECONDS_MAX: i64 = 90 * 60;

/// Orders that one statement reads at most.
const READ_MAX: usize = 500;

/// What is known of an order without its state.
#[derive(Debug, Clone)]
pub(super) struct OrderFacts {
    pub(super) tenant: TenantId,
    /// None for an order that the merchant shows, until it is paid.
    pub(super) customer: Option<CustomerId>,
    pub(super) merchant: MerchantId,
    /// The merchant's number at WeChat.
    pub(super) sub_mchid: String,
    pub(super) amount: Money,
    pub(super) origin: Origin,
    pub(super) own_merchant: bool,
    /// The rules that wanted the points reviewed when the order was made.
    pub(super) review_rules: String,
    /// It was paid when it was read. Never forgotten: nothing unpays an order.
    pub(super) paid: bool,
    /// What risk says of its points, once it was asked.
    pub(super) evaluation: Arc<OnceCell<Evaluation>>,
}

/// The orders made lately; cheap to clone.
#[derive(Clone, Default)]
pub struct RecentOrders {
    known: Arc<Mutex<Generations>>,
    read_queue: Arc<Mutex<ReadQueue>>,
}

impl fmt::Debug for RecentOrders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecentOrders").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Generations {
    now: HashMap<OrderId, OrderFacts>,
    before: HashMap<OrderId, OrderFacts>,
    since: Option<Timestamp>,
}

impl Generations {
    fn get(&self, order: OrderId) -> Option<&OrderFacts> {
        self.now.get(&order).or_else(|| self.before.get(&order))
    }

    /// What is known first stays: there is one evaluation of an order.
    fn keep(
        &mut self,
        order: OrderId,
        known: OrderFacts,
        at: Timestamp,
        orders_max: usize,
    ) -> OrderFacts {
        if let Some(first) = self.get(order) {
            return first.clone();
        }
        let since = *self.since.get_or_insert(at);
        if self.now.len() >= orders_max || since.plus_seconds(SECONDS_MAX) <= at {
            self.before = std::mem::take(&mut self.now);
            self.since = Some(at);
        }
        self.now.insert(order, known.clone());
        known
    }
}

type OrderFactsResult = Result<Option<OrderFacts>, DbError>;

/// Who waits for an order to be read.
#[derive(Default)]
struct ReadQueue {
    waiting: Vec<(OrderId, oneshot::Sender<OrderFactsResult>)>,
    /// Somebody reads, and will read those who wait after it.
    reading: bool,
}

/// Somebody reads. Should that end before its time (the process is stopping), those who wait are
/// told that the outcome is unknown, and the next one reads.
struct ReadGuard {
    read_queue: Arc<Mutex<ReadQueue>>,
    ended: bool,
}

impl Drop for ReadGuard {
    fn drop(&mut self) {
        if !self.ended {
            let mut read_queue = lock(&self.read_queue);
            read_queue.reading = false;
            read_queue.waiting.clear();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RecentOrders {
    /// An order was made, and risk said this of it ([`Stage::PaymentCreate`]). Without a decision
    /// nothing is kept: there is nothing in it that a settlement would be asked for, or it is read.
    pub fn note(&self, order: &Order, evaluation: &Evaluation) {
        let Some(decision) = evaluation.decision() else {
            return;
        };
        let known = OrderFacts {
            tenant: order.tenant,
            customer: order.customer,
            merchant: order.merchant,
            sub_mchid: order.sub_mchid.clone(),
            amount: order.amount,
            origin: decision.facts.origin.clone(),
            own_merchant: decision.facts.own_merchant,
            review_rules: review_rules(decision),
            paid: false,
            evaluation: Arc::default(),
        };
        lock(&self.known).keep(order.id, known, order.created_at(), ORDERS_MAX);
    }

    /// What risk said of an order's points no longer holds: it will be read, and asked about,
    /// anew.
    pub(super) fn evict(&self, order: OrderId) {
        let mut known = lock(&self.known);
        known.now.remove(&order);
        known.before.remove(&order);
    }

    /// What is known of an order; none if there is no such order. Concurrent questions that nobody
    /// here can answer are one statement.
    pub(super) async fn get(&self, db: &Db, order: OrderId) -> OrderFactsResult {
        if let Some(known) = lock(&self.known).get(order) {
            return Ok(Some(known.clone()));
        }
        let (asker, answer) = oneshot::channel();
        let first = {
            let mut read_queue = lock(&self.read_queue);
            read_queue.waiting.push((order, asker));
            !std::mem::replace(&mut read_queue.reading, true)
        };
        if first {
            // In a task of its own: whoever asked may hang up while others wait.
            tokio::spawn(self.clone().read(db.clone()));
        }
        answer.await.unwrap_or(Err(DbError::Unavailable(None)))
    }

    /// Reads as long as somebody waits. As the group commit does: what queued while the last
    /// statement ran is the next.
    async fn read(self, db: Db) {
        let mut reading = ReadGuard {
            read_queue: Arc::clone(&self.read_queue),
            ended: false,
        };
        loop {
            let askers = {
                let mut read_queue = lock(&self.read_queue);
                let count = read_queue.waiting.len().min(READ_MAX);
                if count == 0 {
                    // Under the lock: whoever comes next reads.
                    read_queue.reading = false;
                    reading.ended = true;
                    return;
                }
                read_queue.waiting.drain(..count).collect::<Vec<_>>()
            };
            let ids: Vec<OrderId> = askers.iter().map(|(order, _)| *order).collect();
            metrics::histogram!("recent_orders_read")
                .record(f64::from(u32::try_from(ids.len()).unwrap_or(u32::MAX)));
            match read_orders(&db, &ids).await {
                Ok(found) => {
                    let now = db.now();
                    for (order, asker) in askers {
                        let known = found.get(&order).map(|known| {
                            lock(&self.known).keep(order, known.clone(), now, ORDERS_MAX)
                        });
                        let _ = asker.send(Ok(known)); // whoever asked may have gone
                    }
                }
                Err(error) => {
                    tracing::warn!(reason = %error, "orders to be settled cannot be read for risk");
                    for (_, asker) in askers {
                        let _ = asker.send(Err(DbError::Unavailable(None)));
                    }
                }
            }
        }
    }
}

/// An order was made in spite of a *verify* if nobody was there to answer: then it is as good as a
/// *review*.
fn review_rules(decision: &Decision) -> String {
    match decision.action {
        Action::Verify | Action::Review => rules_wanting_review(decision),
        Action::Allow | Action::Block => String::new(),
    }
}

async fn read_orders(db: &Db, ids: &[OrderId]) -> Result<HashMap<OrderId, OrderFacts>, DbError> {
    let mut sql = Sql::new(
        "SELECT /* payments.known_orders */ o.id, o.tenant_id, o.customer_id, o.merchant_id, o.amount_fen, o.paid_at IS NOT NULL, d.decision, \
         EXISTS (SELECT 1 FROM customers c JOIN merchant_staff s ON s.tenant_id = c.tenant_id AND s.openid = c.openid AND s.status = 'active' \
           WHERE c.id = o.customer_id AND s.merchant_id = o.merchant_id), o.sub_mchid \
         FROM payment_orders o LEFT JOIN risk_decisions d ON d.id = CONCAT(SUBSTR(o.id, 1, 15), ",
    );
    let stage = [Stage::PaymentCreate.code()];
    sql.bytes(&stage).push(") WHERE o.id IN (");
    sql.values(ids).push(")");
    let rows = sqlx::raw_sql(sql.into_statement())
        .fetch_all(db.pool())
        .await?;
    let mut found = HashMap::new();
    for row in &rows {
        let id: OrderId = row.try_get(0)?;
        let decision = row.try_get::<Option<&[u8]>, _>(6)?.map(read_decision);
        // Money does not wait for a record of risk that cannot be read, least of all that of other
        // orders; whether the points do, the order's row says as well.
        let decision = decision.and_then(|read| {
            read.inspect_err(
                |error| tracing::error!(order.id = %id, reason = %error, "an order is judged without what was said when it was made"),
            )
            .ok()
        });
        let amount = Money::parse(row.try_get(4)?)
            .map_err(|_| DbError::Inconsistent("an amount below zero"))?;
        let own_merchant: i64 = row.try_get(7)?;
        let paid: i64 = row.try_get(5)?;
        let known = OrderFacts {
            tenant: TenantId(row.try_get(1)?),
            customer: row.try_get(2)?,
            merchant: row.try_get(3)?,
            sub_mchid: row.try_get(8)?,
            amount,
            own_merchant: own_merchant != 0,
            review_rules: decision.as_ref().map(review_rules).unwrap_or_default(),
            origin: decision
                .map(|decision| decision.facts.origin)
                .unwrap_or_default(),
            paid: paid != 0,
            evaluation: Arc::default(),
        };
        found.insert(id, known);
    }
    Ok(found)
}

/// Whether a customer is on the staff of a merchant: a merchant that pays itself. For orders whose
/// customer was not known when they were made.
pub(super) async fn is_own_merchant(
    db: &Db,
    tenant: TenantId,
    customer: CustomerId,
    merchant: MerchantId,
) -> Result<bool, DbError> {
    let found: Option<i64> = sqlx::query_scalar(
        "/* payments.is_own_merchant */ SELECT 1 FROM customers c JOIN merchant_staff s ON s.tenant_id = c.tenant_id AND s.openid = c.openid AND s.status = 'active' \
         WHERE c.id = ? AND c.tenant_id = ? AND s.merchant_id = ?",
    )
    .bind(customer)
    .bind(tenant)
    .bind(merchant)
    .fetch_optional(db.pool())
    .await?;
    Ok(found.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::Facts,
        payments::{OrderSharing, OrderTerms, PointsReview},
        primitives::{Id, Lane},
        risk::{CounterValues, Effect, FiredRule},
    };

    fn order(millis: u64) -> Order {
        let id = Id::mint(millis, 7, Lane(1));
        let terms = OrderTerms {
            tenant: TenantId(1),
            merchant: MerchantId::new(id),
            sub_mchid: String::new(),
            description: String::new(),
            amount: Money::constant(100),
            sharing: OrderSharing::No,
            review: PointsReview::No,
            expires_at: Timestamp::from_micros(0),
        };
        let code = "0123456789AB".into();
        Order::scanned(OrderId::new(id), CustomerId::new(id), code, terms)
    }

    fn evaluation(own_merchant: bool) -> Evaluation {
        let at = Timestamp::from_micros(0);
        let fired = |rule: &str, effect| FiredRule {
            rule: rule.into(),
            action: Action::Review,
            effect,
            reason: String::new(),
        };
        Evaluation::new(Decision {
            rule_set: 1,
            action: Action::Review,
            facts: Facts {
                own_merchant,
                ..Facts::new(Stage::PaymentCreate, TenantId(1), at)
            },
            measured: CounterValues::default(),
            fired: vec![fired("a", Effect::Live), fired("b", Effect::Shadow)],
            answered: None,
        })
    }

    fn known(recent: &RecentOrders, order: &Order) -> Option<OrderFacts> {
        lock(&recent.known).get(order.id).cloned()
    }

    #[test]
    fn what_was_noted_first_stays_and_nothing_is_kept_without_a_decision() {
        let recent = RecentOrders::default();
        let order = order(1_000);
        recent.note(&order, &Evaluation::default());
        assert!(known(&recent, &order).is_none());
        recent.note(&order, &evaluation(true));
        recent.note(&order, &evaluation(false));
        let known = known(&recent, &order).unwrap();
        assert!(known.own_merchant);
        assert_eq!(known.review_rules, "a", "a rule in shadow wants nothing");
    }

    #[test]
    fn the_rules_that_nobody_could_answer_are_named_like_those_that_want_a_review() {
        let decided = |action| {
            let mut decision = evaluation(false).decision().unwrap().clone();
            decision.action = action;
            review_rules(&decision)
        };
        assert_eq!(decided(Action::Verify), "a");
        assert_eq!(decided(Action::Review), "a");
        assert_eq!(decided(Action::Allow), "");
    }

    #[test]
    fn an_order_is_forgotten_after_three_hours_at_most() {
        let recent = RecentOrders::default();
        let at = |minutes: u64| order(minutes * 60_000);
        let first = at(0);
        for minutes in [0, 89, 91, 179] {
            recent.note(&at(minutes), &evaluation(false));
            assert!(known(&recent, &first).is_some(), "{minutes}");
        }
        recent.note(&at(182), &evaluation(false));
        assert!(known(&recent, &first).is_none());
        assert!(known(&recent, &at(91)).is_some());
    }

    #[test]
    fn no_more_than_two_generations_are_kept() {
        let recent = RecentOrders::default();
        for millis in 0..250 {
            let mut generations = lock(&recent.known);
            let order = order(millis);
            let one = OrderFacts {
                tenant: order.tenant,
                customer: None,
                merchant: order.merchant,
                sub_mchid: String::new(),
                amount: order.amount,
                origin: Origin::default(),
                own_merchant: false,
                review_rules: String::new(),
                paid: false,
                evaluation: Arc::default(),
            };
            generations.keep(order.id, one, order.created_at(), 100);
            assert!(generations.now.len() <= 100 && generations.before.len() <= 100);
        }
    }
}
