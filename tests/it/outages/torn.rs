//! A packet of a batch that is cut, undone or torn in the middle: nothing of it stays, and it is
//! noticed.

use std::time::Duration;

use sqlx::ConnectOptions as _;

use crate::{
    batch::{adjust, someone},
    harness::{TestApp, eventually, sessions},
};

/// The beginning of the packet is undone while the rest is written, as Galera does when another
/// node was first.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_beginning_was_undone_is_undone_whole_and_run_again() {
    let app = TestApp::with(|options| options.committers = 1).await;
    // The commit's row is taken away when a certain account is made, and only then.
    app.execute(
        "CREATE TRIGGER tear AFTER INSERT ON accounts FOR EACH ROW \
         BEGIN IF @torn IS NULL THEN SET @torn = 1; DELETE FROM commits ORDER BY seq DESC LIMIT 1; END IF; END",
    )
    .await;
    let customer = someone(app.db());
    assert!(app.db().submit(adjust(&app, customer, 5)).await.unwrap());
    app.execute("DROP TRIGGER tear").await;
    assert_eq!(app.count("SELECT COUNT(*) FROM transfers").await, 1);
    assert_eq!(app.count("SELECT COUNT(*) FROM commits").await, 1);
    app.finish().await;
}

/// The session is killed, its statement is interrupted, or it is the victim of a deadlock, while
/// the packet waits in its middle.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_cut_in_the_middle_leaves_nothing() {
    let app = TestApp::with(|options| options.committers = 1).await;
    let customer = someone(app.db());
    app.db().submit(adjust(&app, customer, 100)).await.unwrap();
    let mut taken = 0_i64;
    for kill in ["KILL CONNECTION", "KILL QUERY", "deadlock"] {
        let mut others = app.sql().await;
        sqlx::raw_sql("BEGIN; SELECT id FROM accounts WHERE SUBSTR(id, 16, 1) = x'01' FOR UPDATE")
            .execute(&mut others)
            .await
            .unwrap();
        let (db, operation) = (app.db().clone(), adjust(&app, customer, -1));
        let submitting = tokio::spawn({
            let operation = operation.clone();
            async move { db.submit(operation).await }
        });
        let mut root = app.scratch.owner.clone().connect().await.unwrap();
        let waiting = waits_in_the_packet(&mut root).await;
        if kill == "deadlock" {
            // The commit's row of the packet: it has that, and waits for the account that we have.
            // We have written more, so it is the victim.
            sqlx::raw_sql("UPDATE accounts SET debt = debt; UPDATE commits SET seal = seal; ")
                .execute(&mut others)
                .await
                .ok();
        } else {
            let statement = format!("{kill} {waiting}");
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
                .execute(&mut root)
                .await
                .unwrap();
        }
        let partly: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM transfers")
            .fetch_one(&mut root)
            .await
            .unwrap();
        assert_eq!(partly, taken + 1, "{kill}: rows of half a batch are there");
        sqlx::raw_sql("ROLLBACK")
            .execute(&mut others)
            .await
            .unwrap();
        let answer = submitting.await.unwrap();
        match answer {
            Ok(true) => {}
            // The outcome was unknown; repeated, the request has one effect.
            Err(_) => {
                eventually("it is done the second time", || async {
                    app.db().submit(operation.clone()).await.ok()
                })
                .await;
            }
            Ok(false) => panic!("{kill}: it was there before"),
        }
        taken += 1;
        assert_eq!(
            app.count("SELECT COUNT(*) FROM transfers").await,
            taken + 1,
            "{kill}"
        );
    }
    app.finish().await;
}

/// The session of the committer, once it waits for a lock inside its packet.
async fn waits_in_the_packet(root: &mut sqlx::MySqlConnection) -> u64 {
    let waits = async {
        loop {
            let waiting = "info LIKE '%ledger.update_account%' AND user = 'zhangfang'";
            let found = sessions(&mut *root, waiting).await.unwrap_or_default();
            if let Some(id) = found.first().copied() {
                return id;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(20), waits).await;
    found.expect("the packet waits")
}

/// A hook of the replication group refuses what is too large for it (3100) and undoes it: the batch
/// is halved until it fits, and no caller gets an unknown outcome.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_too_large_for_the_group_is_halved() {
    let app = TestApp::with(|options| options.committers = 1).await;
    let customer = someone(app.db());
    app.db().submit(adjust(&app, customer, 100)).await.unwrap();
    let one = app
        .count("SELECT CAST(LENGTH(events) AS SIGNED) FROM commits")
        .await;
    let before = app.count("SELECT COUNT(*) FROM commits").await;
    // Two operations fit, three do not.
    let refuse = format!(
        "CREATE TRIGGER refuse BEFORE INSERT ON commits FOR EACH ROW \
         BEGIN IF LENGTH(NEW.events) > {} THEN SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 3100, MESSAGE_TEXT = 'too large'; END IF; END",
        2 * one
    );
    let mut root = app.scratch.owner.clone().connect().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(refuse))
        .execute(&mut root)
        .await
        .unwrap();
    // One waits for an account in its packet; the others queue behind it, and are taken together.
    let mut others = app.sql().await;
    sqlx::raw_sql("BEGIN; SELECT id FROM accounts WHERE SUBSTR(id, 16, 1) = x'01' FOR UPDATE")
        .execute(&mut others)
        .await
        .unwrap();
    let submit = |operation: crate::batch::Adjust| {
        let db = app.db().clone();
        tokio::spawn(async move { db.submit(operation).await })
    };
    let first = submit(adjust(&app, customer, -1));
    waits_in_the_packet(&mut root).await;
    let behind: Vec<_> = (0..9)
        .map(|_| submit(adjust(&app, someone(app.db()), 1)))
        .collect();
    tokio::task::yield_now().await;
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut others)
        .await
        .unwrap();
    assert!(first.await.unwrap().unwrap());
    for answer in behind {
        assert!(answer.await.unwrap().unwrap());
    }
    assert_eq!(app.count("SELECT COUNT(*) FROM transfers").await, 11);
    // Ten operations, two at most in each.
    let commits = app.count("SELECT COUNT(*) FROM commits").await - before;
    assert!(commits >= 6, "{commits}");
    app.execute("DROP TRIGGER refuse").await;
    app.finish().await;
}
