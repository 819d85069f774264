//! A customer's points and when they expire. Read-only; nothing is decided by it.

use sqlx::FromRow;

use crate::{
    db::{Db, DbError},
    ledger::{self, Account, Balance, PointHoldings},
    primitives::{AccountId, BusinessDay, CustomerId, PageLimit, Points, TenantId},
};

/// A customer's points as they can be used today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CustomerPoints {
    /// As booked, except that `available` is what can be spent ([`PointHoldings::free`]). It
    /// excludes points whose last usable day is over, even before the nightly job has expired them.
    /// Points transactions and refunds are decided by the same number.
    pub balance: Balance,
    pub expiring: ExpiringSoon,
}

/// Points that will expire soon, including those that are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiringSoon {
    /// Days looked ahead.
    pub within_days: u32,
    pub points: Points,
    /// The first day on which some of them have expired.
    pub next_on: Option<BusinessDay>,
}

/// Returns a customer's points today (UTC+8) and those that will have expired `within_days` from
/// now. A customer without an account has zero.
pub async fn customer_points(
    db: &Db,
    tenant: TenantId,
    customer: CustomerId,
    within_days: u32,
) -> Result<CustomerPoints, DbError> {
    let today = db.now().business_day();
    let until = today.plus_days(within_days);
    let found = ledger::find_holdings(db, tenant, AccountId::customer_points(customer)).await?;
    let (account, stock) = found.unwrap_or((Account::empty(tenant), PointHoldings::default()));
    let broken = |_| DbError::Inconsistent("a customer's points do not add up");
    let balance = account.balance().map_err(broken)?;
    let points = |units: i64| Points::parse(units.max(0));
    let free = stock.free(today).map_err(broken)?;
    let soon = || {
        let after = stock.lots.range(today.plus_days(1)..);
        after.take_while(|(on, _)| **on <= until)
    };
    let in_lots = soon().fold(0_i64, |sum, (_, left)| sum.saturating_add(*left));
    let overflow = |_| DbError::Inconsistent("more points than there can be");
    Ok(CustomerPoints {
        balance: Balance {
            available: points(free).map_err(overflow)?,
            ..balance
        },
        expiring: ExpiringSoon {
            within_days,
            points: points(in_lots).map_err(overflow)?,
            next_on: soon().map(|(on, _)| *on).next(),
        },
    })
}

/// Returns the balance alone.
pub async fn balance(db: &Db, tenant: TenantId, customer: CustomerId) -> Result<Balance, DbError> {
    Ok(customer_points(db, tenant, customer, 0).await?.balance)
}

/// Points of a customer that expire on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct ExpiringDay {
    /// The first day on which they can no longer be used, at UTC+8.
    #[sqlx(try_from = "time::Date")]
    pub day: BusinessDay,
    /// Greater than zero.
    pub points: i64,
}

/// Returns up to `limit.probe()` days after `after` on which points expire, soonest first. Points
/// that never expire are left out.
pub async fn list_expiring(
    db: &Db,
    tenant: TenantId,
    customer: CustomerId,
    after: Option<BusinessDay>,
    limit: PageLimit,
) -> Result<Vec<ExpiringDay>, DbError> {
    let today = db.now().business_day();
    let after = after.map_or(today, |day| day.max(today));
    Ok(sqlx::query_as(
        "/* points.list_expiring */ SELECT expired_from AS day, remaining AS points FROM points_lots \
         WHERE account_id = ? AND tenant_id = ? AND expired_from > ? AND expired_from < ? AND remaining > 0 ORDER BY expired_from LIMIT ?",
    )
    .bind(AccountId::customer_points(customer))
    .bind(tenant)
    .bind(after.0)
    .bind(BusinessDay::NEVER.0)
    .bind(limit.probe())
    .fetch_all(db.pool())
    .await?)
}
