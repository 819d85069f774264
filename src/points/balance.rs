//! Statistics of a customer's points. Read-only; nothing is decided by it.

use sqlx::FromRow;

use super::change_types::{KIND, caused_by, counted_as, is_no_debt, source_of};
use crate::{
    db::{Db, DbError},
    ledger::{self, Account, ConstrainedSide, Phase},
    primitives::{AccountId, BusinessDay, CustomerId, EntryCause, Points, TenantId},
};

/// What a customer earned and spent. A clawback shortfall and its later repayment are neither: they
/// only move points between the account and the debt. So what was earned less what was spent is the
/// posted balance less the debt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    pub earned_total: Points,
    /// All points that left: spent, deducted, taken back by refunds, expired.
    pub spent_total: Points,
    /// The last thirty days on which points moved, newest first.
    pub days: Vec<StatisticsDay>,
    /// By source and destination: `payment`, `refund`, `expiry`, `adjustment`, or the name of a
    /// back end.
    pub sources: Vec<StatisticsSource>,
    /// By kind of event.
    pub events: Vec<StatisticsEvent>,
}

#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct StatisticsSource {
    pub source: String,
    pub earned: i64,
    pub spent: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct StatisticsDay {
    #[sqlx(try_from = "time::Date")]
    pub day: BusinessDay,
    pub earned: i64,
    pub spent: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct StatisticsEvent {
    /// A name of [`PointsMove`](super::PointsMove) (`earned`, `awarded`, `taken_back`, `deducted`,
    /// `redeemed`, `returned`, `expired`), or `adjusted`.
    pub what: String,
    pub points: i64,
    pub times: i64,
}

impl From<time::Date> for BusinessDay {
    fn from(date: time::Date) -> Self {
        Self(date)
    }
}

/// Returns SQL for the posted legs that are events, which excludes those between points and debt.
fn happened() -> String {
    let (posted, post) = (Phase::Posted.code(), Phase::Post.code());
    let no_debt = is_no_debt();
    format!("t.phase IN ({posted}, {post}) AND {no_debt}")
}

fn earned_and_spent() -> String {
    let sum = |side: ConstrainedSide, name| {
        let side = side.code();
        format!(
            "CAST(SUM(CASE WHEN t.constrained_side = {side} THEN t.amount ELSE 0 END) AS SIGNED) AS {name}"
        )
    };
    let (earned, spent) = (
        sum(ConstrainedSide::Credit, "earned"),
        sum(ConstrainedSide::Debit, "spent"),
    );
    format!("{earned}, {spent}")
}

pub async fn statistics(
    db: &Db,
    tenant: TenantId,
    customer: CustomerId,
) -> Result<Statistics, DbError> {
    let (id, debt) = (
        AccountId::customer_points(customer),
        AccountId::customer_debt(customer),
    );
    let account = async |id| {
        let found = ledger::find_account(db, tenant, id).await?;
        Ok::<_, DbError>(found.unwrap_or(Account::empty(tenant)))
    };
    // The debt is read first. If a shortfall is booked or repaid in between, it is then counted
    // twice, but never subtracted before it is there.
    let (debt, account) = (account(debt).await?, account(id).await?);
    let (happened, earned_and_spent) = (happened(), earned_and_spent());
    let days = format!(
        "SELECT /* points.statistics */ DATE(t.created_at + INTERVAL 8 HOUR) AS day, {earned_and_spent} \
         FROM transfers t WHERE t.constrained_account = ? AND t.tenant_id = ? AND {happened} GROUP BY day ORDER BY day DESC LIMIT 30"
    );
    let days = sqlx::query_as(sqlx::AssertSqlSafe(days))
        .bind(id)
        .bind(tenant)
        .fetch_all(db.pool())
        .await?;
    let (kind, source) = (KIND, source_of());
    let of_transactions = caused_by(&[
        EntryCause::PointsTransaction,
        EntryCause::OrderOrPointsTransaction,
    ]);
    let sources = format!(
        "SELECT /* points.source_statistics */ {source} AS source, {earned_and_spent} \
         FROM transfers t \
         LEFT JOIN points_transactions p ON {kind} IN {of_transactions} AND p.id = CONCAT(SUBSTR(t.entry_id, 1, 15), x'00') \
         WHERE t.constrained_account = ? AND t.tenant_id = ? AND {happened} GROUP BY 1 ORDER BY 1"
    );
    let sources = sqlx::query_as(sqlx::AssertSqlSafe(sources))
        .bind(id)
        .bind(tenant)
        .fetch_all(db.pool())
        .await?;
    let what = counted_as();
    let events = format!(
        "SELECT /* points.event_statistics */ {what} AS what, \
         CAST(SUM(t.amount) AS SIGNED) AS points, COUNT(DISTINCT t.entry_id) AS times \
         FROM transfers t WHERE t.constrained_account = ? AND t.tenant_id = ? AND {happened} GROUP BY 1 ORDER BY 1"
    );
    let events = sqlx::query_as(sqlx::AssertSqlSafe(events))
        .bind(id)
        .bind(tenant)
        .fetch_all(db.pool())
        .await?;
    let less = |all: i64, of_debts: i64| {
        let negative = |_| DbError::Inconsistent("a sum below zero");
        Points::parse(all.saturating_sub(of_debts)).map_err(negative)
    };
    Ok(Statistics {
        earned_total: less(account.credits_posted, debt.debits_posted)?,
        spent_total: less(account.debits_posted, debt.credits_posted)?,
        days,
        sources,
        events,
    })
}
