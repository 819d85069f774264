//! A settlement without its database: from WeChat's word to the rows as they shall be, and from
//! these to the text that writes them.
//!
//! The orders are of ten merchants and as many customers as there are orders, none of whom has an
//! account yet; the batch is as large as a busy committer's.

use std::{hint::black_box, sync::Arc};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput};
use zhangfang::{
    db::{Memory, batch::seal},
    facts::Stage,
    outbox::{Event, unpack},
    payments::{
        Applied, Late, Order, OrderSharing, OrderTerms, PaidNotice, Payment, PointsReview, Policy,
        PolicyTerms, PrepayId, SettleOutcome, SettlePayment, put_order_in_memory,
    },
    points::{RuleTerms, RuleVersion, Rules},
    primitives::{
        Clock as _, CommitterId, CustomerId, Id, Lane, MerchantId, Money, OrderId, Points, Secret,
        SystemClock, TenantId, Timestamp,
    },
    risk::{Evaluation, RuleSet},
};

use super::{risk::counted_once, rules};

const TENANT: TenantId = TenantId(1);
const BATCH: u64 = 250;
const SUB_MCHID: &str = "1900000109";
/// As long as a callback is.
const BODY_BYTES: usize = 1_300;

pub(crate) fn measure(criterion: &mut Criterion) {
    let payments = Payments::new(SystemClock.now());
    let mut group = criterion.benchmark_group("settle");
    group.throughput(Throughput::Elements(1));
    group.bench_function("decide_one", |bencher| {
        let one = &payments.settlements(false)[..1];
        bencher.iter_batched_ref(
            || payments.ready(),
            |memory| payments.decide(memory, black_box(one)),
            BatchSize::SmallInput,
        );
    });
    group.throughput(Throughput::Elements(BATCH));
    for (name, by_risk) in [
        ("decide_batch_of_250", false),
        ("decide_batch_of_250_with_risk", true),
    ] {
        let settlements = payments.settlements(by_risk);
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || payments.ready(),
                |memory| payments.decide(memory, black_box(&settlements)),
                BatchSize::SmallInput,
            );
        });
    }
    for (name, by_risk) in [
        ("encode_batch_of_250", false),
        ("encode_batch_of_250_with_risk", true),
    ] {
        let mut memory = payments.ready();
        payments.decide(&mut memory, &payments.settlements(by_risk));
        group.throughput(Throughput::Elements(BATCH));
        group.bench_function(name, |bencher| {
            bencher.iter(|| memory.encode(black_box(payments.now)).unwrap());
        });
    }
    group.finish();

    let mut memory = payments.ready();
    payments.decide(&mut memory, &payments.settlements(false));
    let packed = memory.events().to_vec();
    let events = unpack(&packed).unwrap();
    let mut group = criterion.benchmark_group("events");
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("pack_of_250_payments", |bencher| {
        bencher.iter(|| pack(black_box(&events)));
    });
    group.bench_function("unpack_of_250_payments", |bencher| {
        bencher.iter(|| unpack(black_box(&packed)).unwrap());
    });
    group.bench_function("seal_of_250_payments", |bencher| {
        bencher.iter(|| {
            seal(
                &[0; 32],
                CommitterId(1),
                1,
                payments.now,
                black_box(&packed),
            )
            .finish()
        });
    });
    group.finish();
}

/// As a commit's row holds them.
fn pack(events: &[Event]) -> usize {
    let bytes = events
        .iter()
        .map(|event| postcard::to_allocvec(event).unwrap());
    bytes.map(|bytes| bytes.len()).sum()
}

/// Payments that WeChat tells of, and what decides on them.
struct Payments {
    now: Timestamp,
    orders: Vec<Order>,
    rules: Arc<Rules>,
    policy: Arc<Policy>,
    body: Bytes,
}

impl Payments {
    fn new(now: Timestamp) -> Self {
        let rule = RuleVersion {
            tenant: TENANT,
            version: 1,
            merchant: None,
            terms: Some(RuleTerms::default()),
            effective_from: Timestamp::from_micros(0),
            created_at: Timestamp::from_micros(0),
        };
        Self {
            now,
            orders: (0..BATCH).map(|number| order(number, now)).collect(),
            rules: Arc::new(Rules::new(vec![rule]).unwrap()),
            policy: Arc::new(Policy {
                version: 1,
                terms: PolicyTerms::default(),
            }),
            body: Bytes::from(vec![b'a'; BODY_BYTES]),
        }
    }

    /// Nothing but the orders, each with a prepay id.
    fn ready(&self) -> Memory {
        let mut memory = Memory::new(1);
        for order in &self.orders {
            put_order_in_memory(&mut memory, order.clone());
        }
        memory
    }

    /// One for each order: without risk, or with what the rules of the project say of it.
    fn settlements(&self, by_risk: bool) -> Vec<SettlePayment> {
        let rules = RuleSet::parse(&rules::of_the_project()).unwrap();
        let stage = Stage::PointsCredit;
        let numbers = counted_once(&rules, stage);
        let settlement = |(number, order): (u64, &Order)| {
            let notice = PaidNotice {
                out_trade_no: order.no().to_string(),
                wechat_transaction_id: format!("42000000{number:020}"),
                sp_mchid: "1900000001".to_owned(),
                sub_mchid: SUB_MCHID.to_owned(),
                app_id: "wx0123456789abcdef".to_owned(),
                payer_openid: None,
                amount: order.amount,
                currency: "CNY".to_owned(),
                payer_amount: Some(order.amount),
                paid_at: self.now,
            };
            let callback = (id(number, 3), self.body.clone());
            let settlement = SettlePayment::new(
                TENANT,
                notice,
                true,
                (Arc::clone(&self.rules), Arc::clone(&self.policy)),
                Some(callback),
            );
            if !by_risk {
                return settlement;
            }
            let facts = rules::facts(stage, number, self.now);
            settlement.evaluated(Evaluation::new(rules.evaluate(1, &facts, &numbers, None)))
        };
        (0..).zip(&self.orders).map(settlement).collect()
    }

    fn decide(&self, memory: &mut Memory, settlements: &[SettlePayment]) {
        for settlement in settlements {
            let settled = memory.decide(self.now, settlement).unwrap();
            assert!(matches!(settled, SettleOutcome::Now { .. }));
        }
    }
}

fn id(number: u64, kind: u64) -> Id {
    Id::mint(1_795_000_000_000, kind << 32 | number, Lane(1))
}

fn order(number: u64, now: Timestamp) -> Order {
    let terms = OrderTerms {
        tenant: TENANT,
        merchant: MerchantId::new(id(number % 10, 1)),
        sub_mchid: SUB_MCHID.to_owned(),
        description: "老王面馆".to_owned(),
        amount: Money::parse(1_288).unwrap(),
        sharing: OrderSharing::No,
        review: PointsReview::No,
        expires_at: now.plus_seconds(900),
    };
    let id_of_order = OrderId::new(Id::mint(now.millis(), number, Lane(1)));
    let customer = CustomerId::new(id(number, 2));
    let order = Order::scanned(id_of_order, customer, "012345678901".to_owned(), terms);
    let prepay_id = PrepayId {
        id: Secret::new(format!("wx{number:034}")),
        at: now,
    };
    now_done(order.prepay(prepay_id).unwrap())
}

/// An order that was paid.
pub(crate) fn paid_order(now: Timestamp) -> Order {
    let payment = Payment {
        paid_at: now,
        wechat_transaction_id: "4200000000000000000000000001".to_owned(),
        points: Points::parse(12).unwrap(),
        rule_version: 1,
        points_expired_from: now.business_day().plus_days(366),
        settled_by: Some(id(0, 3)),
        late: Late::No,
    };
    now_done(order(0, now).pay(payment).unwrap())
}

fn now_done(applied: Applied<Order>) -> Order {
    match applied {
        Applied::Now(order) => order,
        Applied::Before => panic!("an order of this benchmark has no past"),
    }
}
