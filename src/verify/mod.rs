//! Verifying the books: the invariants, on the database alone.
//!
//! Everything is read in one consistent snapshot, so it can run beside a busy service, and
//! streaming, in the order of the keys and page by page, so that a large ledger does not need large
//! memory. What is kept in memory is one sum per *unconstrained* account (merchants, customers who
//! ever owed points, and a handful more) and per day and source of points, never per customer,
//! order, refund, sharing, points transaction or transfer; beside them the versions of the points
//! rules, and of the one account that is being replayed its lots and open holds.
//!
//! | pass | reads | checks |
//! |---|---|---|
//! | `commits`, `arrivals` | commits, and the transfers, orders, refunds and history that their events name | 10, 11 |
//! | `entries`, `rules` | transfers and orders, merged by key | 1, 5, 6 |
//! | `refunded` | refunds summed up per order, beside these orders | 5, 6 |
//! | `refunds` | refunds and their history, beside these transfers | 5, 6, 9 |
//! | `reviews` | reviews and decisions on points, beside these orders and transfers | 6, 9 |
//! | `decisions` | risk's decisions, beside these transfers | 13 |
//! | `shared` | sharings, beside these orders | 5, 9 |
//! | `sharing` | sharings, their parts and returns, beside these transfers | 5, 9 |
//! | `accounts`, `lots`, `caps` | accounts, the transfers of checked ones with the orders that earned them, their lots and their holds, merged by account; budgets | 2, 3, 4, 6, 7, 8 |
//! | `points_transactions` | what back ends did with points, beside these transfers; the events that they told | 6, 9, 10 |
//! | `states` | history and orders, merged by key; idempotency keys | 9, 12 |
//! | `staff_refunds` | what people of merchants gave back alone in a day, added up by the database, beside what is counted | 8 |
//! | `days` | totals of merchants, orders and refunds, added up by the database | 10 |
//! | `points_days` | days of points, against the events | 10 |
//! | `liveness` | what is not final, by the state in which it is; how far the relay is | 16 |
//! | `channel_reports` | callbacks and alarms; what was made elsewhere, late or twice, beside the exceptions; calls under way | 17 |
//! | `readable` | all rows that the others read; of the rest those with a code, a name or an actor that there is not | 18 |
//!
//! [`verify`] takes it that the service is at work, so that nothing may wait longer than its jobs
//! would let it, by the database's clock; [`verify_at_rest`] does not.
//!
//! A violation names the ids; at most [`NAMED_MAX`] of each invariant are named, all are counted.

mod accounts;
mod arrivals;
mod caps;
mod channel_reports;
mod codes;
mod commits;
mod days;
mod decisions;
mod entries;
mod liveness;
mod lots;
mod order_refunds;
mod order_sharings;
mod pages;
mod points_days;
mod points_transactions;
mod readable;
mod refunds;
mod report;
mod reviews;
mod rules;
mod sharing;
mod sharing_pages;
mod staff_refunds;
mod states;
mod sums;

use sqlx::{Executor as _, mysql::MySqlConnectOptions};

#[cfg(test)]
pub(crate) use lots::LotReplay;
pub use report::{Finding, Invariant, NAMED_MAX, Report};

use self::readable::passed;
use crate::db::{self, DbError};

/// Told how far the verification has come: rows read, of about how many.
pub trait Progress: Send {
    fn advance(&mut self, rows: u64);
    fn expect(&mut self, rows: u64);
}

/// Nobody watches.
impl Progress for () {
    fn advance(&mut self, _rows: u64) {}
    fn expect(&mut self, _rows: u64) {}
}

/// Checks every invariant. Fails only when the database cannot be read; what is wrong with the
/// books is in the report.
pub async fn verify(
    connect: &MySqlConnectOptions,
    progress: &mut dyn Progress,
) -> Result<Report, DbError> {
    check(connect, true, progress).await
}

/// Checks books at rest: by whose clock they were written, and how long ago, does not matter.
pub async fn verify_at_rest(
    connect: &MySqlConnectOptions,
    progress: &mut dyn Progress,
) -> Result<Report, DbError> {
    check(connect, false, progress).await
}

async fn check(
    connect: &MySqlConnectOptions,
    running: bool,
    progress: &mut dyn Progress,
) -> Result<Report, DbError> {
    let mut conn = db::dedicated(connect).await?;
    conn.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await?;
    conn.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        .await?;
    let (rows,): (i64,) = sqlx::query_as(
        "/* verify.count */ SELECT (SELECT COUNT(*) FROM commits) + 2 * (SELECT COUNT(*) FROM transfers) + 2 * (SELECT COUNT(*) FROM payment_orders) \
         + (SELECT COUNT(*) FROM accounts) + (SELECT COUNT(*) FROM payment_order_history) + (SELECT COUNT(*) FROM refunds) \
         + 2 * (SELECT COUNT(*) FROM sharings) + 2 * (SELECT COUNT(*) FROM sharing_parts) + 2 * (SELECT COUNT(*) FROM sharing_returns) \
         + (SELECT COUNT(*) FROM refund_history) + (SELECT COUNT(*) FROM points_transactions) + (SELECT COUNT(*) FROM risk_reviews) + (SELECT COUNT(*) FROM risk_decisions) + (SELECT COUNT(*) FROM points_lots)",
    )
    .fetch_one(&mut conn)
    .await?;
    progress.expect(u64::try_from(rows).unwrap_or(0));
    let mut report = Report::default();
    let mut moves = points_days::Moves::default();
    let reported = commits::check(&mut conn, &mut moves, &mut report, progress).await;
    let reported = passed("commits", reported, &mut report)?;
    let entries = entries::check(&mut conn, &moves, &mut report, progress).await;
    if let Some((sums, arrived, mut rules)) = passed("entries", entries, &mut report)? {
        if let Some(reported) = reported {
            let compared = arrivals::compare(&mut conn, reported, arrived, &mut report).await;
            passed("arrivals", compared, &mut report)?;
        }
        let checked = accounts::check(&mut conn, &sums, &mut rules, &mut report, progress).await;
        passed("accounts", checked, &mut report)?;
        let checked = caps::check_budgets(&mut conn, &mut rules, &mut report).await;
        passed("caps", checked, &mut report)?;
    }
    let checked = staff_refunds::check(&mut conn, &mut report).await;
    passed("staff_refunds", checked, &mut report)?;
    let relayed = states::check(&mut conn, &mut report, progress).await;
    let relayed = passed("states", relayed, &mut report)?.unwrap_or(false);
    let checked = liveness::check(&mut conn, running, relayed, &mut report).await;
    passed("liveness", checked, &mut report)?;
    let checked = channel_reports::check(&mut conn, &mut report).await;
    passed("channel_reports", checked, &mut report)?;
    let checked = readable::check(&mut conn, &mut report).await;
    passed("readable", checked, &mut report)?;
    // While the relay is behind, the totals are too. One that stands still is a violation of 16.
    if relayed {
        let checked = days::check(&mut conn, &mut report).await;
        passed("days", checked, &mut report)?;
        let checked = points_days::check(&mut conn, &moves, &mut report).await;
        passed("points_days", checked, &mut report)?;
    }
    conn.execute("ROLLBACK").await?;
    Ok(report)
}
