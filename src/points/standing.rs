//! What a customer has, and when it is gone. Reads that decide nothing.

use sqlx::{FromRow, Row as _};

use crate::{
    db::{Db, DbError},
    ledger::{ACCOUNT_COLUMNS, ACCOUNT_WIDTH, Account, Balance, read_account},
    primitives::{AccountId, BusinessDay, CustomerId, PageLimit, Points, TenantId},
};

/// A customer's points as they can be used today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// As booked, but `available` leaves out what is over: points are gone at the turn of their day, also while the night's job has not taken them from the books.
    pub balance: Balance,
    pub expiring: ExpiringSoon,
}

/// Points that will be gone soon, those that are set aside included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiringSoon {
    /// How many days were looked ahead.
    pub within_days: u32,
    pub points: Points,
    /// The first day on which some of them are gone.
    pub next_on: Option<BusinessDay>,
}

/// A customer's points today (UTC+8), and what of them is gone `within_days` from now. One who never had any has nothing.
pub async fn standing(
    db: &Db,
    tenant: TenantId,
    customer: CustomerId,
    within_days: u32,
) -> Result<Standing, DbError> {
    let today = db.now().business_day();
    let until = today.plus_days(within_days);
    let statement = format!(
        "SELECT /* points.standing */ {ACCOUNT_COLUMNS}, \
         (SELECT CAST(COALESCE(SUM(l.remaining), 0) AS SIGNED) FROM point_lots l WHERE l.account_id = a.id AND l.expires_on <= ?), \
         (SELECT CAST(COALESCE(SUM(l.remaining), 0) AS SIGNED) FROM point_lots l WHERE l.account_id = a.id AND l.expires_on > ? AND l.expires_on <= ?), \
         (SELECT MIN(l.expires_on) FROM point_lots l WHERE l.account_id = a.id AND l.expires_on > ? AND l.expires_on <= ? AND l.remaining > 0) \
         FROM accounts a WHERE a.id = ? AND a.tenant_id = ?"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(today.0)
        .bind(today.0)
        .bind(until.0)
        .bind(today.0)
        .bind(until.0)
        .bind(AccountId::customer_points(customer))
        .bind(tenant)
        .fetch_optional(db.pool())
        .await?;
    let negative = |_| DbError::Inconsistent("points of a lot below zero");
    let (account, over, soon, next_on) = match row {
        None => (Account::empty(tenant), 0, 0, None),
        Some(row) => (
            read_account(&row)?.1,
            row.try_get::<i64, _>(ACCOUNT_WIDTH)?,
            row.try_get::<i64, _>(ACCOUNT_WIDTH + 1)?,
            row.try_get::<Option<time::Date>, _>(ACCOUNT_WIDTH + 2)?
                .map(BusinessDay),
        ),
    };
    let balance = account
        .balance()
        .map_err(|_| DbError::Inconsistent("a customer's account is below zero"))?;
    let over = Points::parse(over).map_err(negative)?;
    Ok(Standing {
        balance: Balance {
            available: balance.available.saturating_sub(over),
            ..balance
        },
        expiring: ExpiringSoon {
            within_days,
            points: Points::parse(soon).map_err(negative)?,
            next_on,
        },
    })
}

/// The same without looking ahead.
pub async fn balance(db: &Db, tenant: TenantId, customer: CustomerId) -> Result<Balance, DbError> {
    Ok(standing(db, tenant, customer, 0).await?.balance)
}

/// Points of a customer that are gone on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct ExpiringDay {
    /// The first day on which they are gone, at UTC+8.
    #[sqlx(try_from = "time::Date")]
    pub day: BusinessDay,
    /// More than none.
    pub points: i64,
}

/// Up to `limit.probe()` days on which points will be gone, soonest first, after `after`. What lasts for ever has no day.
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
        "/* points.list_expiring */ SELECT expires_on AS day, remaining AS points FROM point_lots \
         WHERE account_id = ? AND tenant_id = ? AND expires_on > ? AND expires_on < ? AND remaining > 0 ORDER BY expires_on LIMIT ?",
    )
    .bind(AccountId::customer_points(customer))
    .bind(tenant)
    .bind(after.0)
    .bind(BusinessDay::NEVER.0)
    .bind(limit.probe())
    .fetch_all(db.pool())
    .await?)
}
