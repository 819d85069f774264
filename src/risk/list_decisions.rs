//! Lists of stored decisions, for people.

use std::{fmt, str::FromStr};

use sqlx::{MySql, QueryBuilder, Row as _, mysql::MySqlRow};

use super::{Action, Decision, read_decision};
use crate::{
    db::{Db, DbError},
    facts::Stage,
    primitives::{
        CustomerId, DecisionId, MerchantId, PageLimit, ParseIdError, TenantId, Timestamp,
    },
};

/// A decision under its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDecision {
    pub id: DecisionId,
    pub decision: Decision,
    /// The most that rules in shadow would have done.
    pub shadow: Action,
}

/// Which decisions. Nothing means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecisionFilter {
    pub stage: Option<Stage>,
    pub action: Option<Action>,
    pub customer: Option<CustomerId>,
    pub merchant: Option<MerchantId>,
    /// Only those in which the rule with this `id` fired, also in shadow.
    pub rule: Option<String>,
    /// Made then or later.
    pub from: Option<Timestamp>,
    /// Made before then.
    pub to: Option<Timestamp>,
}

/// A place in the list of decisions: `<microseconds>-<id>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecisionCursor {
    at: Timestamp,
    id: DecisionId,
}

impl DecisionCursor {
    pub const fn of(stored: &StoredDecision) -> Self {
        Self {
            at: stored.decision.facts.at,
            id: stored.id,
        }
    }
}

impl fmt::Display for DecisionCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at.micros(), self.id)
    }
}

impl FromStr for DecisionCursor {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let (micros, id) = text.split_once('-').ok_or(ParseIdError)?;
        let micros: i64 = micros.parse().map_err(|_| ParseIdError)?;
        // Beyond the years that a database knows there is no decision.
        if !(0..=253_402_300_799_000_000).contains(&micros) {
            return Err(ParseIdError);
        }
        Ok(Self {
            at: Timestamp::from_micros(micros),
            id: id.parse()?,
        })
    }
}

fn read(row: &MySqlRow) -> Result<StoredDecision, DbError> {
    let shadow: i8 = row.try_get("shadow")?;
    let shadow = u8::try_from(shadow).ok().and_then(Action::from_code);
    let packed: &[u8] = row.try_get("decision")?;
    Ok(StoredDecision {
        id: row.try_get("id")?,
        decision: read_decision(packed)?,
        shadow: shadow.ok_or(DbError::Inconsistent("an unknown action of risk"))?,
    })
}

/// One decision of a tenant.
pub async fn find_decision(
    db: &Db,
    tenant: TenantId,
    id: DecisionId,
) -> Result<Option<StoredDecision>, DbError> {
    let row = sqlx::query(
        "/* risk.find_decision */ SELECT id, shadow, decision FROM risk_decisions WHERE id = ? AND tenant_id = ?",
    )
    .bind(id)
    .bind(tenant)
    .fetch_optional(db.pool())
    .await?;
    row.as_ref().map(read).transpose()
}

/// Up to `limit.probe()` decisions of a tenant, the latest first, from `before` on.
///
/// A customer's are found by an index, the others by walking back in time: who asks for what is
/// rare should say `from`.
pub async fn list_decisions(
    db: &Db,
    tenant: TenantId,
    filter: &DecisionFilter,
    before: Option<DecisionCursor>,
    limit: PageLimit,
) -> Result<Vec<StoredDecision>, DbError> {
    let mut sql: QueryBuilder<MySql> = QueryBuilder::new(
        "/* risk.list_decisions */ SELECT id, shadow, decision FROM risk_decisions WHERE tenant_id = ",
    );
    sql.push_bind(tenant);
    if let Some(stage) = filter.stage {
        sql.push(" AND stage = ").push_bind(stage.code());
    }
    if let Some(action) = filter.action {
        sql.push(" AND action = ").push_bind(action.code());
    }
    if let Some(customer) = filter.customer {
        sql.push(" AND customer_id = ").push_bind(customer);
    }
    if let Some(merchant) = filter.merchant {
        sql.push(" AND merchant_id = ").push_bind(merchant);
    }
    if let Some(from) = filter.from {
        sql.push(" AND decided_at >= ").push_bind(from);
    }
    if let Some(to) = filter.to {
        sql.push(" AND decided_at < ").push_bind(to);
    }
    if let Some(needle) = filter.rule.as_deref().map(packed_text) {
        sql.push(" AND LOCATE(")
            .push_bind(needle)
            .push(", decision) > 0");
    }
    if let Some(DecisionCursor { at, id }) = before {
        sql.push(" AND decided_at <= ").push_bind(at);
        sql.push(" AND (decided_at < ").push_bind(at);
        sql.push(" OR id < ").push_bind(id).push(")");
    }
    sql.push(" ORDER BY decided_at DESC, id DESC LIMIT ");
    sql.push_bind(limit.probe());
    let rows = sql.build().fetch_all(db.pool()).await?;
    rows.iter().map(read).collect()
}

/// A text as a packed decision holds it: its length, then itself. The length keeps `pay` from being
/// found in `pay-often`; a text that merely ends like it would need the very byte before it.
fn packed_text(text: &str) -> Vec<u8> {
    postcard::to_allocvec(text).expect("a text has no part that cannot be encoded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written_and_nothing_else_is() {
        let id = DecisionId::new(crate::primitives::Id::from_bytes([7; 16]));
        let cursor = DecisionCursor {
            at: Timestamp::from_micros(1_800_000_000_000_001),
            id,
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in [
            "",
            "-",
            "1800000000000001",
            "x-rd_07",
            "-5-rd_07070707070707070707070707070707",
            "9223372036854775807-rd_07070707070707070707070707070707",
            "1-or_07070707070707070707070707070707",
        ] {
            assert!(bad.parse::<DecisionCursor>().is_err(), "{bad}");
        }
    }
}
