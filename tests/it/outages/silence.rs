//! The network falls silent and closes nothing: everybody is answered within a bound, nobody is
//! called ready, and all goes on when it speaks again.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sqlx::ConnectOptions as _;
use tokio::sync::Notify;
use zhangfang::{
    db::{DbError, DbOptions, SubmitError, Tx, Work},
    primitives::{Clock as _, MockClock, SystemClock},
};

use crate::{
    batch::{adjust, someone},
    harness::{SilentProxy, TestApp, db_on, eventually, eventually_within, sessions},
};

/// Longer than whatever has a bound.
const PATIENCE: Duration = Duration::from_secs(40);

/// Says that it has begun, and goes on when it is told to.
#[derive(Debug, Default)]
struct Halfway {
    begun: Arc<Notify>,
    go_on: Arc<Notify>,
}

impl Work for Halfway {
    const NAME: &'static str = "test.halfway";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        sqlx::query("INSERT INTO tenants (code, name, created_at) VALUES ('halfway', 'x', NOW(6))")
            .execute(tx.conn())
            .await?;
        self.begun.notify_one();
        self.go_on.notified().await;
        sqlx::query("SELECT 1").execute(tx.conn()).await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_database_that_says_nothing() {
    let proxy = Mutex::new(None);
    let app = TestApp::with(|options| {
        options.committers = 1;
        *proxy.lock().unwrap() = Some(SilentProxy::before(&mut options.connect));
    })
    .await;
    let proxy = proxy.into_inner().unwrap().unwrap();
    let db = app.db();
    db.submit(adjust(&app, someone(db), 1)).await.unwrap();

    let work = Halfway::default();
    let (begun, go_on) = (Arc::clone(&work.begun), Arc::clone(&work.go_on));
    let halfway = tokio::spawn({
        let db = db.clone();
        async move { db.run(work).await }
    });
    begun.notified().await;
    proxy.falls_silent();
    go_on.notify_one();

    let unsent = adjust(&app, someone(db), 1);
    let silence = Instant::now();
    let (committed, cut, begun) = tokio::join!(
        tokio::time::timeout(PATIENCE, db.submit(unsent.clone())),
        tokio::time::timeout(PATIENCE, halfway),
        tokio::time::timeout(PATIENCE, db.run(Halfway::default())),
    );
    let committed = committed.expect("the committer waits for ever");
    assert!(
        matches!(committed, Err(SubmitError::Db(DbError::Unavailable(_)))),
        "{committed:?}"
    );
    let cut = cut.expect("a transaction waits for ever").unwrap();
    assert!(
        matches!(cut, Err(DbError::Timeout("test.halfway"))),
        "{cut:?}"
    );
    let begun = begun.expect("a transaction waits for a connection for ever");
    assert!(matches!(begun, Err(DbError::Unavailable(_))), "{begun:?}");
    assert!(!db.is_ready().await, "ready after {:?}", silence.elapsed());
    assert_eq!(app.anyone().get("/readyz").await.status, 503);
    // Who comes now is told sooner.
    let reply = tokio::time::timeout(
        Duration::from_secs(15),
        db.submit(adjust(&app, someone(db), 1)),
    );
    assert!(matches!(
        reply.await.expect("the committer waits for a session"),
        Err(SubmitError::Db(DbError::Unavailable(_)))
    ));

    proxy.speaks();
    eventually("it is ready again", || async {
        db.is_ready().await.then_some(())
    })
    .await;
    assert!(db.submit(unsent).await.unwrap());
    eventually("HTTP is served again", || async {
        let answer = app.anyone().try_get("/readyz").await?;
        (answer.status == 200).then_some(())
    })
    .await;
    let mut root = app.scratch.owner.clone().connect().await.unwrap();
    let written: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM tenants WHERE code = 'halfway'")
        .fetch_one(&mut root)
        .await
        .unwrap();
    assert_eq!(written, 0, "half a transaction was kept");
    proxy.hangs_up();
    app.finish().await;
}

/// Nobody asks for anything, and the lease is to be renewed.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_gets_no_answer_is_dropped() {
    let app = TestApp::start().await;
    let mut options = DbOptions::new(app.scratch.service.clone());
    options.committers = 1;
    let proxy = SilentProxy::before(&mut options.connect);
    let clock = Arc::new(MockClock::at(SystemClock.now()));
    let db = db_on(options, clock.clone()).await;
    let operation = adjust(&app, someone(&db), 1);
    proxy.falls_silent();
    clock.advance_seconds(20);
    eventually("it is not called ready", || async {
        (!db.is_ready().await).then_some(())
    })
    .await;
    eventually("the lease is to be renewed, and nobody answers", || async {
        proxy.swallowed("/* db.lease_renew */").then_some(())
    })
    .await;
    proxy.speaks();
    let answer = tokio::time::timeout(PATIENCE, async {
        eventually("it commits again", || async {
            db.submit(operation.clone()).await.ok()
        })
        .await;
    });
    answer.await.expect("the committer waits for ever");
    db.close().await;
    app.finish().await;
}

/// The process stood still for longer than the server waits for it, and longer than its lease: the
/// server has closed its connections, and another process has taken its identity and gone on with
/// its sequence. Whoever comes first, before anybody has looked at the lease, is served.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_batch_after_a_standstill_is_committed() {
    let app = TestApp::with(|options| options.committers = 0).await;
    let one = || {
        let mut options = DbOptions::new(app.scratch.service.clone());
        options.committers = 1;
        options
    };
    let mut options = one();
    let proxy = SilentProxy::before(&mut options.connect);
    let clock = Arc::new(MockClock::at(SystemClock.now()));
    let later = clock.now().plus_seconds(61);
    let stood_still = db_on(options, clock.clone()).await;
    let customer = someone(&stood_still);
    let given = stood_still.submit(adjust(&app, customer, 5)).await;
    assert!(given.unwrap());

    // The next look at the lease is seconds away, and finds nothing due before the clock goes on.
    proxy.falls_silent();
    proxy.hangs_up();
    let other = db_on(one(), Arc::new(MockClock::at(later))).await;
    let given = other.submit(adjust(&app, customer, 1)).await;
    assert!(given.unwrap());
    let identities = "SELECT COUNT(*) FROM committers";
    assert_eq!(app.count(identities).await, 1, "it was taken over");
    proxy.speaks();
    clock.advance_seconds(61);
    let first = adjust(&app, customer, -6);
    let answers = futures_util::future::join_all([
        stood_still.submit(first.clone()),
        stood_still.submit(adjust(&app, customer, 2)),
    ]);
    for answer in answers.await {
        assert!(answer.unwrap());
    }
    assert!(!stood_still.submit(first).await.unwrap(), "done twice");
    assert_eq!(app.count(identities).await, 2);
    stood_still.close().await;
    other.close().await;
    app.finish().await;
}

/// One committer, and the owner's connection, which holds a table that nobody is given meanwhile:
/// no statement that wants it is answered, and the rest of the database is as it was.
async fn held(app: &TestApp, table: &'static str) -> sqlx::MySqlConnection {
    let mut root = app.sql().await;
    let statement = format!("LOCK TABLES {table} WRITE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(&mut root)
        .await
        .unwrap();
    root
}

async fn unlock(mut root: sqlx::MySqlConnection) {
    sqlx::raw_sql("UNLOCK TABLES")
        .execute(&mut root)
        .await
        .unwrap();
}

/// The pools are well, and the committer waits for an answer.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_an_answer_is_not_ready_whoever_else_is_answered() {
    let app = TestApp::with(|options| options.committers = 1).await;
    let db = app.db();
    let operation = adjust(&app, someone(db), 1);
    let root = held(&app, "accounts").await;
    let asked = Instant::now();
    let submitting = tokio::spawn({
        let (db, operation) = (db.clone(), operation.clone());
        async move { db.submit(operation).await }
    });
    eventually_within(10, "it is not called ready", || async {
        (!db.is_ready().await).then_some(())
    })
    .await;
    assert!(!submitting.is_finished(), "{:?}", asked.elapsed());
    sqlx::query("SELECT 1").execute(db.pool()).await.unwrap();
    // The batch has its time as well.
    let reply = tokio::time::timeout(PATIENCE, submitting).await;
    let reply = reply.expect("a batch waits for ever").unwrap();
    assert!(
        matches!(reply, Err(SubmitError::Db(DbError::Unavailable(_)))),
        "{reply:?}"
    );
    unlock(root).await;
    eventually("it commits again", || async {
        db.submit(operation.clone()).await.ok()
    })
    .await;
    app.finish().await;
}

/// The connection is there, and no identity is to be had over it.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_does_not_come_about_is_dropped() {
    let app = TestApp::with(|options| options.committers = 1).await;
    let db = app.db();
    db.submit(adjust(&app, someone(db), 1)).await.unwrap();
    let mut killer = app.sql().await;
    let root = held(&app, "committers").await;
    let ours = "user = 'zhangfang' AND db = DATABASE()";
    let found = loop {
        if let Some(found) = sessions(&mut killer, ours).await {
            break found;
        }
    };
    for session in found {
        let kill = format!("KILL CONNECTION {session}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(kill))
            .execute(&mut killer)
            .await
            .ok(); // it may have gone by itself
    }
    let operation = adjust(&app, someone(db), 1);
    for _ in 0..2 {
        let reply = tokio::time::timeout(PATIENCE, db.submit(operation.clone())).await;
        let reply = reply.expect("the committer waits for a session");
        assert!(
            matches!(reply, Err(SubmitError::Db(DbError::Unavailable(_)))),
            "{reply:?}"
        );
    }
    assert!(!db.is_ready().await);
    unlock(root).await;
    eventually("it commits again", || async {
        db.submit(operation.clone()).await.ok()
    })
    .await;
    app.finish().await;
}

/// Who gives a connection back is asked whether it is sound, and the place in the pool is not lost
/// to one that does not say.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_given_back_and_says_nothing_makes_room() {
    let app = TestApp::start().await;
    let mut options = DbOptions::new(app.scratch.service.clone());
    options.connections_max = 1;
    let proxy = SilentProxy::before(&mut options.connect);
    let db = db_on(options, Arc::new(MockClock::at(SystemClock.now()))).await;
    let only = db.pool().acquire().await.unwrap();
    proxy.falls_silent();
    drop(only);
    proxy.speaks();
    eventually("there is room for another", || async {
        sqlx::query("SELECT 1").execute(db.pool()).await.ok()
    })
    .await;
    proxy.hangs_up();
    db.close().await;
    app.finish().await;
}
