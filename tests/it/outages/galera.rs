//! Two writers on Galera: a batch that conflicts with another node in its middle is undone whole.

use sqlx::ConnectOptions as _;
use zhangfang::{db::DbOptions, ledger::AccountKind, primitives::AccountId, verify};

use crate::{
    batch::{Adjust, someone},
    harness::{Galera, Scratch, db_of, demo_tenant, eventually, sessions},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_from_another_node_leaves_nothing_of_a_packet() {
    let Some(cluster) = Galera::start().await else {
        return;
    };
    let scratch = Scratch::make_on(cluster.roots[0].clone()).await;
    let tenant = demo_tenant(&scratch).await;
    let mut options = DbOptions::new(scratch.service.clone());
    options.committers = 1;
    let db = db_of(options).await;
    let database = scratch.owner.get_database().unwrap();
    let mut onlooker = scratch.owner.clone().connect().await.unwrap();
    let mut other_node = cluster.roots[1]
        .clone()
        .database(database)
        .connect()
        .await
        .unwrap();
    let customer = someone(&db);
    let adjust = || Adjust {
        tenant: tenant.id,
        cause: db.new_id(customer.lane()),
        customer,
        points: 5,
        pending: false,
    };
    assert!(db.submit(adjust()).await.unwrap());
    let theirs = AccountId::customer_points(customer);
    let shared = AccountId::of_tenant(tenant.id, AccountKind::PointsIssued);
    for round in 1..=15_i64 {
        // The packet stops at its last statement, since somebody holds the account that all share.
        let mut holder = scratch.owner.clone().connect().await.unwrap();
        sqlx::raw_sql("BEGIN").execute(&mut holder).await.unwrap();
        sqlx::query("SELECT id FROM accounts WHERE id = ? FOR UPDATE")
            .bind(shared)
            .execute(&mut holder)
            .await
            .unwrap();
        let submitting = tokio::spawn({
            let (db, operation) = (db.clone(), adjust());
            async move { db.submit(operation).await }
        });
        eventually("the packet waits", || {
            let waits = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(sessions(
                    &mut onlooker,
                    "user = 'zhangfang' AND info LIKE '%ledger.add_to_accounts%'",
                ))
            });
            let waits = waits.is_some_and(|waiting| !waiting.is_empty());
            async move { waits.then_some(()) }
        })
        .await;
        let answer = aborted(&mut onlooker).await;
        // Another node changes the customer's account, which the packet has changed already.
        sqlx::query(
            "UPDATE accounts SET earned_on = DATE('2020-01-01') + INTERVAL ? DAY WHERE id = ?",
        )
        .bind(round)
        .bind(theirs)
        .execute(&mut other_node)
        .await
        .unwrap();
        eventually("the victim is told", || {
            let aborted = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(aborted(&mut onlooker))
            });
            async move { (aborted > answer).then_some(()) }
        })
        .await;
        sqlx::raw_sql("ROLLBACK")
            .execute(&mut holder)
            .await
            .unwrap();
        assert!(submitting.await.unwrap().unwrap(), "round {round}");
        for node in &cluster.roots {
            let (transfers, commits, credits): (i64, i64, i64) = eventually("both nodes agree", || async {
                let mut conn = node.clone().database(database).connect().await.ok()?;
                let found: (i64, i64, i64) = sqlx::query_as(
                    "SELECT (SELECT COUNT(*) FROM transfers), (SELECT COUNT(*) FROM commits), (SELECT credits_posted FROM accounts WHERE id = ?)",
                )
                .bind(theirs)
                .fetch_one(&mut conn)
                .await
                .ok()?;
                (found.0 > round).then_some(found)
            })
            .await;
            assert_eq!(
                (transfers, commits, credits),
                (round + 1, round + 1, 5 * (round + 1)),
                "part of a packet stayed, in round {round}"
            );
        }
    }
    zhangfang::jobs::drain(&db).await.unwrap();
    db.close().await;
    for node in &cluster.roots {
        let report = verify::verify(&node.clone().database(database), &mut ())
            .await
            .unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

/// Two processes behind one address of two nodes: what one has answered the other knows, though its
/// node has not applied it yet when it is asked.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_node_has_answered_is_waited_for() {
    let Some(cluster) = Galera::start().await else {
        return;
    };
    let scratch = Scratch::make_on(cluster.roots[0].clone()).await;
    let tenant = demo_tenant(&scratch).await;
    let database = scratch.owner.get_database().unwrap();
    let node = |index: usize| cluster.roots[index].clone().database(database);
    let process = |index: usize| {
        let mut options = DbOptions::new(node(index).username("zhangfang"));
        options.committers = 1;
        db_of(options)
    };
    let (here, there) = (process(0).await, process(1).await);
    let customer = someone(&here);
    let adjust = |points| Adjust {
        tenant: tenant.id,
        cause: here.new_id(customer.lane()),
        customer,
        points,
        pending: false,
    };
    // Their node applies nothing until the lock is given back.
    let mut holder = node(1).connect().await.unwrap();
    sqlx::raw_sql("FLUSH TABLES WITH READ LOCK")
        .execute(&mut holder)
        .await
        .unwrap();
    assert!(here.submit(adjust(5)).await.unwrap());
    let reading = tokio::spawn({
        let there = there.clone();
        async move {
            sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM transfers")
                .fetch_one(there.pool())
                .await
        }
    });
    let spending = tokio::spawn({
        let (there, operation) = (there.clone(), adjust(-5));
        async move { there.submit(operation).await }
    });
    let onlooker = tokio::sync::Mutex::new(node(1).connect().await.unwrap());
    eventually("both were answered, or wait for the node", || async {
        let waiting = "user = 'zhangfang' AND info IS NOT NULL";
        let waiting = sessions(&mut *onlooker.lock().await, waiting).await?.len();
        let answered = [reading.is_finished(), spending.is_finished()];
        let answered = answered.into_iter().filter(|answered| *answered).count();
        (waiting + answered >= 2).then_some(())
    })
    .await;
    sqlx::raw_sql("UNLOCK TABLES")
        .execute(&mut holder)
        .await
        .unwrap();
    assert_eq!(
        reading.await.unwrap().unwrap(),
        1,
        "an answer was not known"
    );
    assert!(spending.await.unwrap().unwrap(), "refused what there is");
    zhangfang::jobs::drain(&here).await.unwrap();
    for db in [&here, &there] {
        db.close().await;
    }
    let report = verify::verify(&node(1), &mut ()).await.unwrap();
    assert!(report.is_clean(), "{report}");
}

/// Transactions of a node that another node's have ended so far.
async fn aborted(node: &mut sqlx::MySqlConnection) -> u64 {
    let (_, count): (String, String) = sqlx::query_as("SHOW STATUS LIKE 'wsrep_local_bf_aborts'")
        .fetch_one(node)
        .await
        .unwrap();
    count.parse().unwrap()
}
