//! The primary was demoted: it answers, and nothing can be written to it.

use std::collections::HashSet;

use sqlx::ConnectOptions as _;
use zhangfang::db::{DbError, DbOptions, SubmitError, Tx, Work};

use crate::{
    batch::someone,
    harness::{
        Scratch, Server, TestApp, db_of, dev, engine, eventually, eventually_within, sessions,
    },
};

#[derive(Debug)]
struct Write(&'static str);

impl Work for Write {
    const NAME: &'static str = "test.write";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        sqlx::query("INSERT INTO tenants (code, name, created_at) VALUES (?, 'x', NOW(6))")
            .bind(self.0)
            .execute(tx.conn())
            .await?;
        Ok(())
    }
}

/// The connections of the service to the server.
async fn connections(root: &mut sqlx::MySqlConnection) -> HashSet<u64> {
    loop {
        if let Some(found) = sessions(root, "user = 'zhangfang'").await {
            return found.into_iter().collect();
        }
    }
}

/// Connections that were ever made to the server.
async fn opened(root: &mut sqlx::MySqlConnection) -> u64 {
    let (_, count): (String, String) = sqlx::query_as("SHOW GLOBAL STATUS LIKE 'Connections'")
        .fetch_one(root)
        .await
        .unwrap();
    count.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_on_a_server_that_is_read_only() {
    let server = Server::in_folder("demoted");
    let url = dev(&["server", "start", &engine(), &server.dir]);
    let scratch = Scratch::make_on(url.trim().lines().last().unwrap().parse().unwrap()).await;
    let mut root = scratch.owner.clone().connect().await.unwrap();
    let db = db_of(DbOptions::new(scratch.service.clone())).await;
    db.run(Write("before")).await.unwrap();
    // Several connections in each pool.
    let many = (0..6).map(|_| async {
        let mut held = db.pool().acquire().await.unwrap();
        sqlx::query("SELECT SLEEP(0.05)")
            .execute(&mut *held)
            .await
            .unwrap();
    });
    futures_util::future::join_all(many).await;
    let before = connections(&mut root).await;
    assert!(before.len() > 6, "{before:?}");

    sqlx::raw_sql("SET GLOBAL read_only = ON")
        .execute(&mut root)
        .await
        .unwrap();
    let refused = db.run(Write("refused")).await;
    assert!(
        matches!(refused, Err(DbError::Unavailable(_))),
        "{refused:?}"
    );
    assert!(!db.is_ready().await);
    let tenant = zhangfang::primitives::TenantId(1);
    let operation = || {
        let customer = someone(&db);
        crate::batch::Adjust {
            tenant,
            cause: db.new_id(customer.lane()),
            customer,
            points: 1,
            pending: false,
        }
    };
    eventually("both committers have met it", || async {
        let answer = futures_util::future::join_all((0..8).map(|_| db.submit(operation()))).await;
        for answer in answer {
            assert!(
                matches!(answer, Err(SubmitError::Db(DbError::Unavailable(_)))),
                "{answer:?}"
            );
        }
        Some(())
    })
    .await;
    // Whoever reads still reads, over connections that were made since.
    for _ in 0..20 {
        sqlx::query("SELECT 1").execute(db.pool()).await.unwrap();
    }
    eventually("all old connections are gone", || {
        let left = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let _ = db.run(Write("refused")).await;
                sqlx::query("SELECT 1").execute(db.pool()).await.unwrap();
                connections(&mut root).await
            })
        });
        let gone = left.is_disjoint(&before);
        async move { gone.then_some(()) }
    })
    .await;
    assert!(!db.is_ready().await);
    // Who lost the session looks for another a few times a second: a switch-over takes no longer
    // for that.
    let came = opened(&mut root).await;
    eventually_within(15, "the committers try again and again", || {
        let now = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(opened(&mut root))
        });
        async move { (now >= came + 20).then_some(()) }
    })
    .await;

    sqlx::raw_sql("SET GLOBAL read_only = OFF")
        .execute(&mut root)
        .await
        .unwrap();
    eventually("it is ready again", || async {
        db.is_ready().await.then_some(())
    })
    .await;
    db.run(Write("after")).await.unwrap();
    assert!(db.submit(operation()).await.unwrap());
    let codes: Vec<String> = sqlx::query_scalar("SELECT code FROM tenants ORDER BY code")
        .fetch_all(db.pool())
        .await
        .unwrap();
    assert_eq!(codes, ["after", "before"]);
    db.close().await;
}

/// Says an error of this number, as a server does that is not, or is no longer, the one to write
/// to.
#[derive(Debug)]
struct Hears(u16);

impl Work for Hears {
    const NAME: &'static str = "test.hears";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        let said = format!(
            "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {}, MESSAGE_TEXT = 'said by a test'",
            self.0
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(said))
            .execute(tx.conn())
            .await?;
        Ok(())
    }
}

/// Over which connection it runs.
#[derive(Debug)]
struct Which;

impl Work for Which {
    const NAME: &'static str = "test.which";
    type Reply = u64;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<u64, DbError> {
        let id = sqlx::query_scalar("SELECT CAST(CONNECTION_ID() AS UNSIGNED)")
            .fetch_one(tx.conn())
            .await?;
        Ok(id)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_heard_of_another_server_is_not_used_again() {
    let app = TestApp::without_jobs().await;
    let mut options = DbOptions::new(app.scratch.service.clone());
    // One connection for transactions.
    options.connections_max = 1;
    let db = db_of(options).await;
    let mut used = db.run(Which).await.unwrap();
    assert_eq!(db.run(Which).await.unwrap(), used);
    // An error of the statement leaves the connection as good as it was.
    let wrong = db.run(Hears(1_690)).await;
    assert!(matches!(wrong, Err(DbError::Sql(_))), "{wrong:?}");
    assert_eq!(db.run(Which).await.unwrap(), used);
    for number in [
        1_290, 1_792, 1_836, 1_047, 3_100, 3_796, 6_400, 3_032, 1_053, 1_927, 3_169,
    ] {
        let answer = db.run(Hears(number)).await;
        assert!(
            matches!(answer, Err(DbError::Unavailable(_))),
            "{number}: {answer:?}"
        );
        let now = db.run(Which).await.unwrap();
        assert_ne!(now, used, "{number}");
        used = now;
    }
    db.close().await;
    app.finish().await;
}
