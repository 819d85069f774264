//! The settlement as an ordinary transaction for each request: what a service without a group
//! commit does, at its best (prepared statements, no HTTP, no signature to verify, nothing else on
//! the connection).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use sqlx::{Connection as _, Executor as _, MySqlConnection};
use zhangfang::{
    ledger::AccountKind,
    payments::Order,
    primitives::{AccountId, EntryId, EntryKind},
};

use super::{
    load,
    report::Measured,
    stage::{Scratch, open, orders, populate},
};

pub(crate) async fn measure(count: usize, connections: usize) -> Measured {
    let scratch = Scratch::make("tx").await;
    let db = open(&scratch.service).await;
    let (tenant, codes, customers) = populate(&db).await;
    let orders = Arc::new(orders(&db, tenant, &codes, &customers, count, count).await);
    db.close().await;
    let body = Arc::new(vec![b'a'; 1_300]);
    let next = Arc::new(AtomicUsize::new(0));
    let mut open_connections = Vec::new();
    for _ in 0..connections {
        let mut conn = MySqlConnection::connect_with(&scratch.owner).await.unwrap();
        conn.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            .await
            .unwrap();
        open_connections.push(conn);
    }
    let started = Instant::now();
    let workers: Vec<_> = open_connections
        .into_iter()
        .map(|mut conn| {
            let (orders, next, body) = (Arc::clone(&orders), Arc::clone(&next), Arc::clone(&body));
            tokio::spawn(async move {
                let (mut latencies, mut errors) = (Vec::new(), 0);
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(order) = orders.get(index) else {
                        return (latencies, errors);
                    };
                    let began = Instant::now();
                    if settle(&mut conn, order, index, &body).await.is_err() {
                        errors += 1;
                    }
                    latencies.push(began.elapsed().as_micros() as u32);
                }
            })
        })
        .collect();
    let measured = load::gather(workers, started).await;
    scratch.drop().await;
    measured
}

async fn settle(
    conn: &mut MySqlConnection,
    order: &Order,
    index: usize,
    body: &[u8],
) -> Result<(), sqlx::Error> {
    let mut tx = conn.begin().await?;
    let (state,): (i8,) =
        sqlx::query_as("SELECT state FROM payment_orders WHERE id = ? FOR UPDATE")
            .bind(order.id)
            .fetch_one(&mut *tx)
            .await?;
    assert_eq!(state, 2);
    let account = AccountId::customer_points(order.customer.unwrap());
    let known: Option<(i64, u32)> =
        sqlx::query_as("SELECT credits_posted, version FROM accounts WHERE id = ? FOR UPDATE")
            .bind(account)
            .fetch_optional(&mut *tx)
            .await?;
    let (credits, version) = known.unwrap_or((0, 0));
    let entry = EntryId::of(order.id.id(), EntryKind::Settlement);
    let of_tenant = |kind| AccountId::of_tenant(order.tenant, kind);
    let insert = "INSERT INTO transfers (entry_id, leg, tenant_id, phase, debit_account, credit_account, amount, constrained_side, account_version, balance_after, created_at) \
                  VALUES (?, 0, ?, 0, ?, ?, ?, 0, NULL, NULL, NOW(6)), (?, 1, ?, 0, ?, ?, 12, 2, ?, ?, NOW(6))";
    sqlx::query(insert)
        .bind(entry)
        .bind(order.tenant)
        .bind(of_tenant(AccountKind::ChannelReceivable))
        .bind(AccountId::merchant_payable(order.merchant))
        .bind(order.amount.get())
        .bind(entry)
        .bind(order.tenant)
        .bind(of_tenant(AccountKind::PointsIssued))
        .bind(account)
        .bind(version + 1)
        .bind(credits + 12)
        .execute(&mut *tx)
        .await?;
    sqlx::query("INSERT INTO accounts (id, tenant_id, debits_posted, credits_posted, debits_pending, credits_pending, version, earned_on, earned_from, earned_points) VALUES (?, ?, 0, 12, 0, 0, 1, CURRENT_DATE, CURRENT_DATE, 12) ON DUPLICATE KEY UPDATE credits_posted = credits_posted + 12, version = version + 1, earned_points = earned_points + 12")
        .bind(account).bind(order.tenant).execute(&mut *tx).await?;
    sqlx::query("INSERT INTO points_lots (account_id, expired_from, tenant_id, granted, remaining, expired, granted_on) VALUES (?, CURRENT_DATE + INTERVAL 366 DAY, ?, 12, 12, 0, CURRENT_DATE) ON DUPLICATE KEY UPDATE granted = granted + 12, remaining = remaining + 12")
        .bind(account).bind(order.tenant).execute(&mut *tx).await?;
    sqlx::query("UPDATE payment_orders SET state = 3, version = 3, wechat_transaction_id = ?, paid_at = NOW(6), points = 12, rule_version = 1, points_expired_from = CURRENT_DATE + INTERVAL 366 DAY WHERE id = ?")
        .bind(format!("420000{index:022}")).bind(order.id).execute(&mut *tx).await?;
    sqlx::query("INSERT INTO callback_events (id, tenant_id, outcome, received_at, body) VALUES (?, ?, 1, NOW(6), ?)")
        .bind(order.id).bind(order.tenant).bind(body).execute(&mut *tx).await?;
    sqlx::query("INSERT INTO commits (committer, seq, committed_at, events, seal) VALUES (1000, ?, NOW(6), ?, ?)")
        .bind(index as i64).bind(&body[..80]).bind(&body[..32]).execute(&mut *tx).await?;
    // The accounts that everybody shares last, in one order.
    for (account, debit, credit) in [
        (
            of_tenant(AccountKind::ChannelReceivable),
            order.amount.get(),
            0,
        ),
        (of_tenant(AccountKind::PointsIssued), 12, 0),
        (
            AccountId::merchant_payable(order.merchant),
            0,
            order.amount.get(),
        ),
    ] {
        sqlx::query("INSERT INTO accounts (id, tenant_id, debits_posted, credits_posted, debits_pending, credits_pending, version) VALUES (?, ?, ?, ?, 0, 0, 1) ON DUPLICATE KEY UPDATE debits_posted = debits_posted + VALUES(debits_posted), credits_posted = credits_posted + VALUES(credits_posted), version = version + 1")
            .bind(account).bind(order.tenant).bind(debit).bind(credit).execute(&mut *tx).await?;
    }
    tx.commit().await
}
