//! Reads of the stored decisions on one activity, for people and for stages that build on earlier
//! ones.

use sqlx::{Row as _, mysql::MySqlRow};

use super::{Decision, store::unpack};
use crate::{
    db::{Db, DbError, Sql},
    primitives::{DecisionId, Id, TenantId},
};

/// Every decision of a tenant on what `cause` names, in the order of the stages.
pub async fn decisions_on(
    db: &Db,
    tenant: TenantId,
    cause: Id,
) -> Result<Vec<(DecisionId, Decision)>, DbError> {
    read(db, Some(tenant), cause).await
}

/// Every decision on what `cause` names, of whichever tenant: for the operators' commands, which
/// are told a number and nothing else and may see every tenant.
pub async fn decisions_of_any_tenant(
    db: &Db,
    cause: Id,
) -> Result<Vec<(DecisionId, Decision)>, DbError> {
    read(db, None, cause).await
}

async fn read(
    db: &Db,
    tenant: Option<TenantId>,
    cause: Id,
) -> Result<Vec<(DecisionId, Decision)>, DbError> {
    let mut last = *cause.bytes();
    last[15] = 0xff;
    let mut sql = Sql::new(
        "SELECT /* risk.decisions_on */ id, decision FROM risk_decisions WHERE id BETWEEN ",
    );
    sql.bytes(cause.bytes()).push(" AND ").bytes(&last);
    if let Some(tenant) = tenant {
        sql.push(" AND tenant_id = ").int(tenant.0);
    }
    sql.push(" ORDER BY id");
    let rows = sqlx::raw_sql(sql.into_statement())
        .fetch_all(db.pool())
        .await?;
    read_decisions(&rows)
}

/// Rows of `id` and `decision`.
pub(super) fn read_decisions(rows: &[MySqlRow]) -> Result<Vec<(DecisionId, Decision)>, DbError> {
    let rows = rows.iter();
    rows.map(|row| Ok((row.try_get(0)?, read_decision(row.try_get(1)?)?)))
        .collect()
}

/// `risk_decisions.decision`.
pub(crate) fn read_decision(packed: &[u8]) -> Result<Decision, DbError> {
    unpack(packed).ok_or(DbError::Inconsistent("an unreadable risk decision"))
}
