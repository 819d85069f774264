//! Expired points: what can still be spent, what the nightly sweep takes, who is told, and whatever
//! comes in between.

mod messages;
mod part_captures;
mod refunds;
mod returns;
mod runs;
mod service;
mod sweep;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use zhangfang::{
    auth::{OperatorRole, Tokens},
    db::{Cx, Db, Operation, SubmitError, Wanted, WorkingSet},
    deliveries::{Notifier, SettingsCache},
    jobs::Expiry,
    ledger::{self, AccountKind, Draft, LedgerError, Resolution},
    outbox::{self, Event},
    points,
    primitives::{
        AccountId, BusinessDay, CustomerId, EntryId, EntryKind, Lane, MockClock, TenantId,
        Timestamp,
    },
};

use crate::harness::{Caller, JWT_SECRET, TestApp};

/// What is done to a customer's points.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    /// With the first day on which they can no longer be used.
    Grant(BusinessDay),
    Spend,
    Hold,
}

/// One change of points, as an entry of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Move {
    pub(crate) tenant: TenantId,
    pub(crate) customer: CustomerId,
    pub(crate) entry: EntryId,
    pub(crate) change: Change,
    pub(crate) points: i64,
}

impl Move {
    fn draft(&self) -> Draft {
        let theirs = AccountId::customer_points(self.customer);
        let of_tenant = |kind| AccountId::of_tenant(self.tenant, kind);
        let redeemed = of_tenant(AccountKind::PointsRedeemed);
        let issued = of_tenant(AccountKind::PointsIssued);
        match self.change {
            Change::Grant(on) => Draft::posted(issued, theirs, self.points).expiring(on),
            Change::Spend => Draft::posted(theirs, redeemed, self.points),
            Change::Hold => Draft::posted(theirs, redeemed, self.points).pending(),
        }
    }
}

impl Operation for Move {
    type Reply = EntryId;
    type Refusal = LedgerError;
    const NAME: &'static str = "test.move";

    fn lane(&self) -> Lane {
        self.customer.lane()
    }

    fn rows(&self, want: &mut Wanted, _set: &WorkingSet) {
        ledger::want_accounts(want, &[self.draft()]);
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<EntryId, LedgerError> {
        let (entry, tenant) = (self.entry, self.tenant);
        ledger::post(set, tenant, entry, &[self.draft()], cx.now())?;
        outbox::tell(cx, &Event::EntryPosted { entry, tenant });
        Ok(entry)
    }
}

/// The end of a hold.
#[derive(Debug, Clone, Copy)]
struct End {
    tenant: TenantId,
    entry: EntryId,
    way: Resolution,
}

impl Operation for End {
    type Reply = ();
    type Refusal = LedgerError;
    const NAME: &'static str = "test.end";

    fn lane(&self) -> Lane {
        self.entry.lane()
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        ledger::want_resolution(want, set, self.entry, 1);
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
        ledger::resolve(set, self.entry, 1, self.way, None, cx.now())?;
        let (entry, tenant) = (self.entry.resolution(), self.tenant);
        outbox::tell(cx, &Event::EntryPosted { entry, tenant });
        Ok(())
    }
}

/// A tenant whose time the test turns, without jobs.
pub(super) struct Calendar {
    pub(super) app: TestApp,
    pub(super) clock: Arc<MockClock>,
}

pub(super) fn day(text: &str) -> BusinessDay {
    BusinessDay::parse(text).unwrap()
}

/// An instant in Beijing.
pub(super) fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(&format!("{text}+08:00")).unwrap()
}

pub(super) fn someone(db: &Db) -> CustomerId {
    CustomerId::new(db.new_id(db.new_lane()))
}

/// The worker of one process, who does not rest.
pub(super) fn worker(db: &Db) -> Expiry {
    Expiry::new(db.clone(), SettingsCache::start(db.clone()), 100)
}

/// True when a run was finished.
pub(super) async fn round(worker: &mut Expiry) -> bool {
    worker
        .work_on_next(&CancellationToken::new())
        .await
        .unwrap()
}

/// A new worker works until nothing is to be done; how many runs it finished.
pub(super) async fn rounds(db: &Db) -> u32 {
    let (mut worker, mut finished) = (worker(db), 0);
    while round(&mut worker).await {
        finished += 1;
    }
    finished
}

impl Calendar {
    pub(super) async fn open(now: Timestamp) -> Self {
        Self::with_notifications(now, None).await
    }

    pub(super) async fn with_notifications(
        now: Timestamp,
        notifier: Option<Arc<dyn Notifier>>,
    ) -> Self {
        let clock = Arc::new(MockClock::at(now));
        let app = TestApp::on_clock(clock.clone(), notifier).await;
        Self { app, clock }
    }

    pub(super) fn db(&self) -> &Db {
        self.app.db()
    }

    pub(super) async fn change(
        &self,
        customer: CustomerId,
        change: Change,
        points: i64,
    ) -> Result<EntryId, SubmitError<LedgerError>> {
        let entry = EntryId::of(self.db().new_id(customer.lane()), EntryKind::Adjustment);
        let tenant = self.app.tenant.id;
        let one = Move {
            tenant,
            customer,
            entry,
            change,
            points,
        };
        self.db().submit(one).await
    }

    pub(super) async fn grant(&self, customer: CustomerId, points: i64, until: BusinessDay) {
        let granted = self.change(customer, Change::Grant(until), points).await;
        granted.unwrap();
    }

    pub(super) async fn spend(&self, customer: CustomerId, points: i64) -> bool {
        match self.change(customer, Change::Spend, points).await {
            Ok(_) => true,
            Err(SubmitError::Refused(LedgerError::Insufficient)) => false,
            Err(error) => panic!("{error:?}"),
        }
    }

    pub(super) async fn end(&self, entry: EntryId, way: Resolution) {
        let tenant = self.app.tenant.id;
        let end = End { tenant, entry, way };
        self.db().submit(end).await.unwrap();
    }

    /// Posted and held points.
    pub(super) async fn has(&self, customer: CustomerId) -> (i64, i64) {
        let balance = points::balance(self.db(), self.app.tenant.id, customer)
            .await
            .unwrap();
        (balance.posted.get(), balance.held.get())
    }

    /// Lots of a customer that hold something.
    pub(super) async fn lots(&self, customer: CustomerId) -> Vec<(String, i64)> {
        let lots: Vec<(time::Date, i64)> = sqlx::query_as(
            "SELECT expired_from, remaining FROM points_lots WHERE account_id = ? AND remaining > 0 ORDER BY 1",
        )
        .bind(AccountId::customer_points(customer))
        .fetch_all(self.db().pool())
        .await
        .unwrap();
        lots.into_iter()
            .map(|(on, left)| (BusinessDay(on).to_string(), left))
            .collect()
    }

    /// Expiry entries, legs and points in the journal.
    pub(super) async fn expired(&self) -> (i64, i64, i64) {
        sqlx::query_as(EXPIRED)
            .fetch_one(self.db().pool())
            .await
            .unwrap()
    }

    /// An operator whose token is of the clock's time.
    pub(super) fn operator(&self, role: OperatorRole) -> Caller {
        let tokens = Tokens::new(JWT_SECRET.as_bytes(), 900);
        let token = tokens.issue_operator(self.app.tenant.id, role, 60, self.db().now());
        self.app.anyone().with_token(&token.text)
    }
}

pub(super) const EXPIRED: &str = "SELECT COUNT(DISTINCT entry_id), COUNT(*), CAST(COALESCE(SUM(amount), 0) AS SIGNED) FROM transfers \
     WHERE ORD(SUBSTR(entry_id, 16, 1)) = 14";
