//! The group commit: what is queued is decided, what is answered is durable, and nothing happens
//! twice.

use std::{convert::Infallible, time::Duration};

use zhangfang::{
    db::{Cx, Db, DbError, Operation, SubmitError, Tx, Wanted, Work, WorkingSet},
    ledger::{self, AccountKind, Draft, LedgerError},
    outbox::{self, Event},
    primitives::{AccountId, CustomerId, EntryId, EntryKind, Id, Lane, TenantId},
};

use crate::harness::{TestApp, eventually};

/// Gives points to a customer, or takes them.
#[derive(Debug, Clone)]
pub(crate) struct Adjust {
    pub(crate) tenant: TenantId,
    pub(crate) cause: Id,
    pub(crate) customer: CustomerId,
    /// Less than nothing takes.
    pub(crate) points: i64,
    pub(crate) pending: bool,
}

impl Adjust {
    pub(crate) fn entry(&self) -> EntryId {
        EntryId::of(self.cause, EntryKind::Adjustment)
    }

    fn draft(&self) -> Draft {
        let theirs = AccountId::customer_points(self.customer);
        let draft = if self.points >= 0 {
            Draft::posted(
                AccountId::of_tenant(self.tenant, AccountKind::PointsIssued),
                theirs,
                self.points,
            )
        } else {
            Draft::posted(
                theirs,
                AccountId::of_tenant(self.tenant, AccountKind::PointsRedeemed),
                -self.points,
            )
        };
        if self.pending { draft.pending() } else { draft }
    }
}

impl Operation for Adjust {
    type Reply = bool;
    type Refusal = LedgerError;
    const NAME: &'static str = "test.adjust";

    fn lane(&self) -> Lane {
        self.customer.lane()
    }

    fn rows(&self, want: &mut Wanted, _set: &WorkingSet) {
        ledger::want_entry(want, self.entry());
        ledger::want_accounts(want, &[self.draft()]);
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<bool, LedgerError> {
        if ledger::is_posted(set, self.entry()) {
            return Ok(false);
        }
        ledger::post(set, self.tenant, self.entry(), &[self.draft()], cx.now())?;
        outbox::tell(
            cx,
            &Event::EntryPosted {
                entry: self.entry(),
                tenant: self.tenant,
            },
        );
        Ok(true)
    }
}

pub(crate) fn adjust(app: &TestApp, customer: CustomerId, points: i64) -> Adjust {
    Adjust {
        tenant: app.tenant.id,
        cause: app.db().new_id(customer.lane()),
        customer,
        points,
        pending: false,
    }
}

pub(crate) fn someone(db: &Db) -> CustomerId {
    CustomerId::new(db.new_id(db.new_lane()))
}

/// Both load an account at one version and write it: only the check of the version keeps one of the
/// credits from being lost. Small batches and large ones write it by different statements.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_the_same_accounts_lose_nothing_and_count_everything() {
    let app = TestApp::start().await;
    let other = app.another_db().await;
    for crowd in [2_usize, 60] {
        let customers: Vec<CustomerId> = (0..crowd).map(|_| someone(app.db())).collect();
        for round in 0..=(60 / crowd.min(4)) {
            // The first round makes the accounts, by one process: later ones must not be saved by a
            // key that exists.
            let writers = if round == 0 {
                vec![app.db()]
            } else {
                vec![app.db(), &other]
            };
            let credits = writers.into_iter().flat_map(|db| {
                let app = &app;
                customers
                    .iter()
                    .map(move |customer| db.submit(adjust(app, *customer, 3)))
            });
            for credited in futures_util::future::join_all(credits).await {
                assert!(credited.unwrap());
            }
        }
        for customer in customers {
            let account = AccountId::customer_points(customer);
            let (credits, transfers): (i64, i64) = sqlx::query_as(
                "SELECT a.credits_posted, (SELECT CAST(SUM(amount) AS SIGNED) FROM transfers t WHERE t.constrained_account = a.id) FROM accounts a WHERE a.id = ?",
            )
            .bind(account)
            .fetch_one(app.db().pool())
            .await
            .unwrap();
            assert_eq!(credits, transfers, "a credit of {customer} was lost");
        }
    }
    other.close().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_entry_from_two_processes_at_once_is_posted_once() {
    let app = TestApp::start().await;
    let other = app.another_db().await;
    for _ in 0..20 {
        let operation = adjust(&app, someone(app.db()), 7);
        let (here, there) = tokio::join!(
            app.db().submit(operation.clone()),
            other.submit(operation.clone())
        );
        let posted = [here.unwrap(), there.unwrap()];
        assert_eq!(
            posted.iter().filter(|posted| **posted).count(),
            1,
            "{posted:?}"
        );
        assert!(!app.db().submit(operation).await.unwrap());
    }
    other.close().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_undoes_its_own_changes_and_leaves_the_rest_of_the_batch() {
    let app = TestApp::with(|options| options.committers = 1).await;
    let customer = someone(app.db());
    app.db().submit(adjust(&app, customer, 10)).await.unwrap();
    let spends: Vec<_> = (0..30)
        .map(|_| app.db().submit(adjust(&app, customer, -3)))
        .collect();
    let outcomes = futures_util::future::join_all(spends).await;
    let done = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(true)))
        .count();
    let refused = outcomes
        .iter()
        .filter(|outcome| {
            matches!(
                outcome,
                Err(SubmitError::Refused(LedgerError::Insufficient))
            )
        })
        .count();
    assert_eq!((done, refused), (3, 27));
    app.finish().await;
}

/// A client that hangs up drops its handler's future at any `await`.
#[tokio::test(flavor = "multi_thread")]
async fn an_operation_whose_caller_hangs_up_is_whole_or_absent_and_never_blocks_the_next() {
    let app = TestApp::start().await;
    let customer = someone(app.db());
    for patience in 0..200_u64 {
        let submitting = app.db().submit(adjust(&app, customer, 1));
        let _ = tokio::time::timeout(Duration::from_micros(patience * 20), submitting).await;
    }
    assert!(app.db().submit(adjust(&app, customer, 1)).await.unwrap());
    app.finish().await;
}

/// sqlx loses what is written on a connection whose `begin` was dropped half-way; [`Db::run`] must
/// not let a caller do that.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_caller_hangs_up_cannot_swallow_the_writes_of_others() {
    #[derive(Debug)]
    struct Nothing;
    impl Work for Nothing {
        const NAME: &'static str = "test.nothing";
        type Reply = ();
        type Error = DbError;

        async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
            sqlx::query("SELECT 1").execute(tx.conn()).await?;
            Ok(())
        }
    }
    let app = TestApp::with(|options| options.connections_max = 1).await;
    for patience in 0..150_u64 {
        let _ =
            tokio::time::timeout(Duration::from_micros(patience * 10), app.db().run(Nothing)).await;
        // A plain write through the pool, on the connection that the transaction had: it must be
        // there for others.
        let code = format!("t{patience}");
        sqlx::query("INSERT INTO tenants (code, name, created_at) VALUES (?, 'x', NOW(6))")
            .bind(&code)
            .execute(app.db().pool())
            .await
            .unwrap();
        let mut others = app.sql().await;
        let seen: Option<(u32,)> = sqlx::query_as("SELECT id FROM tenants WHERE code = ?")
            .bind(&code)
            .fetch_optional(&mut others)
            .await
            .unwrap();
        assert!(
            seen.is_some(),
            "a write was swallowed after {patience} rounds"
        );
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_queues_bound_callers_are_refused_at_once() {
    let app = TestApp::with(|options| {
        (options.committers, options.queue_max, options.batch_max) = (1, 8, 4);
    })
    .await;
    let customer = someone(app.db());
    let mut others = app.sql().await;
    // Someone holds the account, so that the committer waits.
    app.db().submit(adjust(&app, customer, 1)).await.unwrap();
    sqlx::raw_sql("BEGIN").execute(&mut others).await.unwrap();
    sqlx::raw_sql("SELECT * FROM accounts FOR UPDATE")
        .execute(&mut others)
        .await
        .unwrap();
    let waiting: Vec<_> = (0..64)
        .map(|_| {
            let (db, operation) = (app.db().clone(), adjust(&app, customer, 1));
            tokio::spawn(async move { db.submit(operation).await })
        })
        .collect();
    let mut outcomes = Vec::new();
    let mut waiting = futures_util::future::join_all(waiting);
    // The refused ones have their answer while the others still wait.
    assert!(
        tokio::time::timeout(Duration::from_millis(200), &mut waiting)
            .await
            .is_err()
    );
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut others)
        .await
        .unwrap();
    outcomes.extend(waiting.await.into_iter().map(|outcome| outcome.unwrap()));
    let overloaded = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(SubmitError::Db(DbError::Overloaded))))
        .count();
    let done = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(true)))
        .count();
    assert!(
        overloaded >= 40 && done >= 8,
        "{overloaded} refused, {done} done"
    );
    assert_eq!(overloaded + done, 64, "{outcomes:?}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_reads_what_it_did_not_ask_for_fails_alone() {
    #[derive(Debug)]
    struct Careless(AccountId);
    impl Operation for Careless {
        type Reply = ();
        type Refusal = Infallible;
        const NAME: &'static str = "test.careless";

        fn lane(&self) -> Lane {
            Lane(0)
        }

        fn rows(&self, _want: &mut Wanted, _set: &WorkingSet) {}

        fn decide(&self, set: &mut WorkingSet, _cx: &mut Cx<'_>) -> Result<(), Infallible> {
            let _ = set.get::<ledger::Accounts>(self.0);
            Ok(())
        }
    }
    let app = TestApp::with(|options| options.committers = 1).await;
    let customer = someone(app.db());
    let (careless, careful) = tokio::join!(
        app.db()
            .submit(Careless(AccountId::customer_points(someone(app.db())))),
        app.db().submit(adjust(&app, customer, 5))
    );
    assert!(
        matches!(careless, Err(SubmitError::Db(DbError::Inconsistent(_)))),
        "{careless:?}"
    );
    assert!(careful.unwrap());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_was_taken_over_is_dropped_and_nothing_is_written_twice() {
    let app = TestApp::with(|options| options.committers = 1).await;
    let customer = someone(app.db());
    app.db().submit(adjust(&app, customer, 1)).await.unwrap();
    // Another writes the next number under our identity.
    let mut others = app.sql().await;
    sqlx::raw_sql("CREATE TEMPORARY TABLE theirs AS SELECT committer, seq + 1 AS seq, committed_at, events, seal FROM commits ORDER BY seq DESC LIMIT 1")
        .execute(&mut others).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO commits (committer, seq, committed_at, events, seal) SELECT * FROM theirs",
    )
    .execute(&mut others)
    .await
    .unwrap();
    // Ours collides, reads where the sequence stands and goes on behind it.
    assert!(app.db().submit(adjust(&app, customer, 1)).await.unwrap());
    let report = app.verify().await;
    assert!(!report.is_clean(), "the forged commit must be found");
    let customers = app.count("SELECT COUNT(*) FROM transfers").await;
    assert_eq!(customers, 2);
    eventually("still ready", || async {
        app.db().is_ready().await.then_some(())
    })
    .await;
}

/// Whoever counts the batches of a tenant has counted to the end within months.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_all_batches_touch_count_no_batches() {
    let app = TestApp::start().await;
    let customer = someone(app.db());
    for _ in 0..3 {
        app.db().submit(adjust(&app, customer, 1)).await.unwrap();
    }
    let version = async |account: AccountId| -> i64 {
        sqlx::query_scalar("SELECT CAST(version AS SIGNED) FROM accounts WHERE id = ?")
            .bind(account)
            .fetch_one(app.db().pool())
            .await
            .unwrap()
    };
    let issued = AccountId::of_tenant(app.tenant.id, AccountKind::PointsIssued);
    assert_eq!(version(issued).await, 1);
    assert_eq!(version(AccountId::customer_points(customer)).await, 3);
    app.finish().await;
}
