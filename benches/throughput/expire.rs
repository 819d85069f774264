//! Payments while the points of many customers expire, beside payments alone.
//!
//! Each lot is of a customer of its own, which is the most work that so many lots can be: one
//! account, one entry, one version each. The first of them are the customers who pay.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use zhangfang::{
    auth::{OperatorRole, Tokens},
    db::{Cx, Db, DbOptions, Operation, Wanted, WorkingSet},
    ledger::{self, AccountKind, Draft, LedgerError},
    outbox::{self, Event},
    primitives::{
        AccountId, BusinessDay, Clock as _, CustomerId, EntryId, EntryKind, Lane, MockClock,
        RandomIds, SystemClock, TenantId,
    },
};

use super::{
    report::Report,
    stage::{SECRET, Stage, open},
};

const CONNECTIONS: usize = 64;
/// How many days ago the points were granted; they lasted for one.
const AGE_DAYS: i64 = 10;

/// Points for a customer.
#[derive(Debug)]
struct Grant {
    tenant: TenantId,
    customer: CustomerId,
    until: BusinessDay,
    entry: EntryId,
}

impl Grant {
    fn draft(&self) -> Draft {
        let issued = AccountId::of_tenant(self.tenant, AccountKind::PointsIssued);
        let theirs = AccountId::customer_points(self.customer);
        Draft::posted(issued, theirs, 12).expiring(self.until)
    }
}

impl Operation for Grant {
    type Reply = ();
    type Refusal = LedgerError;
    const NAME: &'static str = "bench.grant";

    fn lane(&self) -> Lane {
        self.customer.lane()
    }

    fn rows(&self, want: &mut Wanted, _set: &WorkingSet) {
        ledger::want_accounts(want, &[self.draft()]);
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
        let (tenant, entry) = (self.tenant, self.entry);
        ledger::post(set, tenant, entry, &[self.draft()], cx.now())?;
        outbox::tell(cx, &Event::EntryPosted { entry, tenant });
        Ok(())
    }
}

pub(crate) async fn measure(lots: usize, orders: usize, report: &mut Report) {
    let stage = Stage::set(orders * 2).await;
    let db = open(&stage.scratch.service).await;
    // The run of the night has nothing to do yet, and must not have anything before it is asked to.
    wait_for_runs(&db).await;
    make_lots(&stage, lots).await;
    zhangfang::jobs::drain(&db).await.unwrap();

    let alone = stage.settle(0..orders, CONNECTIONS).await;
    report.add("expire_settle_alone", &alone);

    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let tokens = Tokens::new(SECRET.as_bytes(), 3_600);
    let token = tokens.issue_operator(stage.tenant, OperatorRole::Admin, 3_600, SystemClock.now());
    let requests = stage.callbacks(orders..orders * 2).await;
    let runs = format!("http://{}/api/v1/admin/points/expiry-runs", stage.address);
    let asked = http
        .post(runs)
        .bearer_auth(&token.text)
        .send()
        .await
        .unwrap();
    assert_eq!(asked.status(), 202);
    while expired(&db).await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (began, before) = (Instant::now(), expired(&db).await);
    let beside = stage.send(requests, CONNECTIONS).await;
    let (took, meanwhile) = (began.elapsed(), expired(&db).await - before);
    report.add("expire_settle_beside", &beside);
    report.add_rate("expire_lots_beside", meanwhile, took);
    if meanwhile + before == lots {
        eprintln!(
            "  the lots ran out before the payments did: more lots, or fewer orders, would tell more"
        );
    }
    let (began, before) = (Instant::now(), expired(&db).await);
    wait_for_runs(&db).await;
    let after = expired(&db).await;
    report.add_rate("expire_lots_alone", after - before, began.elapsed());
    assert_eq!(after, lots, "a lot has not expired");
    let kept = beside.per_second() / alone.per_second() * 100.0;
    eprintln!("  while points expired, payments kept {kept:.0} % of their rate");
    db.close().await;
    stage.strike().await;
}

/// Through the group commit, on a clock of some days ago.
async fn make_lots(stage: &Stage, lots: usize) {
    eprintln!("→ making {lots} lots that are over");
    let then = SystemClock.now().plus_seconds(-AGE_DAYS * 86_400);
    let clock = Arc::new(MockClock::at(then));
    let options = DbOptions::new(stage.scratch.service.clone());
    let db = Db::connect(options, clock, Arc::new(RandomIds))
        .await
        .unwrap();
    while !db.is_ready().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let until = then.business_day().plus_days(1);
    let next = Arc::new(AtomicUsize::new(0));
    let known = Arc::new(stage.customers.clone());
    let makers: Vec<_> = (0..512)
        .map(|_| {
            let (db, next, known, tenant) = (
                db.clone(),
                Arc::clone(&next),
                Arc::clone(&known),
                stage.tenant,
            );
            tokio::spawn(async move {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= lots {
                        return;
                    }
                    let stranger = || CustomerId::new(db.new_id(db.new_lane()));
                    let customer = known.get(index).copied().unwrap_or_else(stranger);
                    let entry = EntryId::of(db.new_id(customer.lane()), EntryKind::Adjustment);
                    let grant = Grant {
                        tenant,
                        customer,
                        until,
                        entry,
                    };
                    db.submit(grant).await.unwrap();
                }
            })
        })
        .collect();
    for maker in makers {
        maker.await.unwrap();
    }
    db.close().await;
}

/// Lots that have expired, as the runs count them.
async fn expired(db: &Db) -> usize {
    let (lots,): (i64,) =
        sqlx::query_as("SELECT CAST(COALESCE(SUM(lots), 0) AS SIGNED) FROM points_expiry_runs")
            .fetch_one(db.pool())
            .await
            .unwrap();
    usize::try_from(lots).unwrap()
}

async fn wait_for_runs(db: &Db) {
    loop {
        let (open,): (i64,) =
            sqlx::query_as("SELECT COUNT(*) FROM points_expiry_runs WHERE open = 1")
                .fetch_one(db.pool())
                .await
                .unwrap();
        if open == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
