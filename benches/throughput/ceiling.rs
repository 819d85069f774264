//! The ceiling: the same rows by multi-row SQL that is written beforehand, two writers, no service
//! in front, nothing loaded, nothing decided.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use sqlx::{Connection as _, Executor as _, MySqlConnection};
use zhangfang::{
    ledger::AccountKind,
    payments::Order,
    primitives::{AccountId, EntryId, EntryKind},
};

use super::{
    report::Measured,
    stage::{Scratch, open, orders, populate},
};

const BATCH: usize = 250;

pub(crate) async fn measure(count: usize) -> Measured {
    let scratch = Scratch::make("raw").await;
    let db = open(&scratch.service).await;
    let (tenant, codes, customers) = populate(&db).await;
    let orders = orders(&db, tenant, &codes, &customers, count, count).await;
    db.close().await;
    let mut parts: [Vec<String>; 2] = [Vec::new(), Vec::new()];
    // Two writers with customers of their own, as the committers have.
    let mut lanes: [Vec<&Order>; 2] = [Vec::new(), Vec::new()];
    for order in &orders {
        lanes[usize::from(order.customer.unwrap().lane().0 % 2)].push(order);
    }
    let mut number = 0;
    for (lane, orders) in lanes.iter().enumerate() {
        for batch in orders.chunks(BATCH) {
            number += 1;
            parts[lane].push(statements(batch, number));
        }
    }
    drop(lanes);
    let started = Instant::now();
    let writers: Vec<_> = parts
        .into_iter()
        .map(|part| {
            let owner = scratch.owner.clone();
            tokio::spawn(async move {
                let mut conn = MySqlConnection::connect_with(&owner).await.unwrap();
                conn.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
                    .await
                    .unwrap();
                let mut latencies = Vec::new();
                for batch in part {
                    let began = Instant::now();
                    conn.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(batch)))
                        .await
                        .unwrap();
                    latencies.push(began.elapsed());
                }
                latencies
            })
        })
        .collect();
    let mut batches: Vec<Duration> = Vec::new();
    for writer in writers {
        batches.extend(writer.await.unwrap());
    }
    let took = started.elapsed();
    scratch.drop().await;
    // Each order waited for its batch.
    let latencies_us = (0..count)
        .map(|index| batches[index * batches.len() / count].as_micros() as u32)
        .collect();
    Measured {
        connections: 2,
        latencies_us,
        errors: 0,
        took,
        cpu: None,
    }
}

fn statements(orders: &[&Order], number: usize) -> String {
    let tenant = orders[0].tenant;
    let of_tenant = |kind| AccountId::of_tenant(tenant, kind).id();
    let body = "a".repeat(1_300);
    let mut sql = String::from(
        "BEGIN;INSERT INTO callback_events (id, tenant_id, outcome, received_at, body) VALUES ",
    );
    list(&mut sql, orders, |sql, _, order| {
        write!(sql, "(x'{}',{tenant},1,NOW(6),'{body}')", order.id.id()).unwrap()
    });
    sql.push_str(";UPDATE JSON_TABLE('[");
    list(&mut sql, orders, |sql, index, order| {
        write!(sql, "[\"{}\",\"42{number:013}{index:013}\"]", order.id.id()).unwrap()
    });
    sql.push_str("]', '$[*]' COLUMNS (id CHAR(32) PATH '$[0]', txn VARCHAR(32) PATH '$[1]')) j STRAIGHT_JOIN payment_orders o ON o.id = UNHEX(j.id) AND o.version = 2 SET o.version = 3, o.state = 3, o.wechat_transaction_id = j.txn, o.paid_at = NOW(6), o.points = 12, o.rule_version = 1, o.points_expired_from = '2027-11-23'");
    sql.push_str(";INSERT INTO transfers (entry_id, leg, tenant_id, phase, debit_account, credit_account, amount, constrained_side, account_version, balance_after, created_at) VALUES ");
    list(&mut sql, orders, |sql, _, order| {
        let entry = EntryId::of(order.id.id(), EntryKind::Settlement).id();
        let (channel, issued) = (
            of_tenant(AccountKind::ChannelReceivable),
            of_tenant(AccountKind::PointsIssued),
        );
        let (merchant, customer) = (
            AccountId::merchant_payable(order.merchant).id(),
            AccountId::customer_points(order.customer.unwrap()).id(),
        );
        write!(sql, "(x'{entry}',0,{tenant},0,x'{channel}',x'{merchant}',1288,0,NULL,NULL,NOW(6)),(x'{entry}',1,{tenant},0,x'{issued}',x'{customer}',12,2,1,12,NOW(6))").unwrap();
    });
    sql.push_str(";INSERT INTO accounts (id, tenant_id, debits_posted, credits_posted, debits_pending, credits_pending, version, earned_on, earned_from, earned_points) VALUES ");
    list(&mut sql, orders, |sql, _, order| {
        write!(
            sql,
            "(x'{}',{tenant},0,12,0,0,1,CURRENT_DATE,CURRENT_DATE,12)",
            AccountId::customer_points(order.customer.unwrap()).id()
        )
        .unwrap()
    });
    sql.push_str(
        " ON DUPLICATE KEY UPDATE credits_posted = credits_posted + 12, version = version + 1",
    );
    sql.push_str(
        ";INSERT INTO points_lots (account_id, expired_from, tenant_id, granted, remaining, expired, granted_on) VALUES ",
    );
    list(&mut sql, orders, |sql, _, order| {
        write!(
            sql,
            "(x'{}','2027-11-23',{tenant},12,12,0,CURRENT_DATE)",
            AccountId::customer_points(order.customer.unwrap()).id()
        )
        .unwrap()
    });
    sql.push_str(" ON DUPLICATE KEY UPDATE granted = granted + 12, remaining = remaining + 12");
    sql.push_str(";INSERT INTO accounts (id, tenant_id, debits_posted, credits_posted, debits_pending, credits_pending, version) VALUES ");
    let mut merchants: Vec<_> = orders.iter().map(|order| order.merchant).collect();
    merchants.sort_unstable();
    merchants.dedup();
    write!(
        sql,
        "(x'{}',{tenant},1288,0,0,0,1),(x'{}',{tenant},12,0,0,0,1)",
        of_tenant(AccountKind::ChannelReceivable),
        of_tenant(AccountKind::PointsIssued)
    )
    .unwrap();
    for merchant in merchants {
        write!(
            sql,
            ",(x'{}',{tenant},0,1288,0,0,1)",
            AccountId::merchant_payable(merchant).id()
        )
        .unwrap();
    }
    sql.push_str(" ON DUPLICATE KEY UPDATE debits_posted = debits_posted + VALUES(debits_posted), credits_posted = credits_posted + VALUES(credits_posted), version = version + 1");
    let events = "ab".repeat(orders.len() * 70);
    write!(sql, ";INSERT INTO commits (committer, seq, committed_at, events, seal) VALUES (1000,{number},NOW(6),x'{events}',REPEAT('a', 32));COMMIT").unwrap();
    sql
}

fn list(sql: &mut String, orders: &[&Order], mut write: impl FnMut(&mut String, usize, &Order)) {
    for (index, order) in orders.iter().enumerate() {
        if index > 0 {
            sql.push(',');
        }
        write(sql, index, order);
    }
}
