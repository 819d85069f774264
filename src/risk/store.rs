//! Decisions as they are stored.

use std::sync::Arc;

use sqlx::mysql::MySqlRow;

use super::{Decision, Effect};
use crate::{
    db::{Change, DbError, Recorder, RowSet, Sql, Tx},
    primitives::{DecisionId, Money, Points},
};

/// `risk_decisions`, written with the deed they are about. Never read by an operation.
#[derive(Debug)]
pub(crate) struct Decisions;

impl RowSet for Decisions {
    type Key = DecisionId;
    type Row = Arc<Decision>;
    const PLACE: u8 = 22;
    const LOADS: bool = false;

    fn load(_keys: &[DecisionId], sql: &mut Sql) {
        sql.push("DO 0");
    }

    fn read(_row: &MySqlRow) -> Result<(DecisionId, Arc<Decision>), sqlx::Error> {
        Err(sqlx::Error::RowNotFound)
    }

    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        out.rows(INSERT, changes, "", true, |sql, change| {
            values(sql, change.key, change.after);
        });
    }
}

const INSERT: &str = "INSERT /* risk.insert_decisions */ INTO risk_decisions (id, tenant_id, stage, action, shadow, rule_set, decided_at, customer_id, merchant_id, \
    amount_fen, points, decision) VALUES ";

#[rustfmt::skip]
fn values(sql: &mut Sql, id: DecisionId, decision: &Decision) {
    let facts = &decision.facts;
    let shadow = decision.fired.iter().filter(|fired| fired.effect == Effect::Shadow);
    let shadow = shadow.map(|fired| fired.action.code()).max().unwrap_or(0);
    sql.push("(").bytes(id.bytes()).push(",").int(facts.tenant.0);
    sql.push(",").int(facts.stage.code()).push(",").int(decision.action.code());
    sql.push(",").int(shadow).push(",").int(decision.rule_set);
    sql.push(",").time(facts.at).push(",");
    sql.option(facts.customer, |sql, id| { sql.bytes(id.bytes()); }).push(",");
    sql.option(facts.merchant, |sql, id| { sql.bytes(id.bytes()); }).push(",");
    sql.option(facts.amount.map(Money::get), |sql, fen| { sql.int(fen); }).push(",");
    sql.option(facts.points.map(Points::get), |sql, points| { sql.int(points); }).push(",");
    // A decision is made of numbers and short texts, which can be encoded.
    let packed = postcard::to_allocvec(decision).unwrap_or_default();
    sql.bytes(&packed).push(")");
}

/// The same row from an ordinary transaction: a login moves neither money nor points.
pub(super) async fn insert(
    tx: &mut Tx,
    id: DecisionId,
    decision: &Decision,
) -> Result<(), DbError> {
    let mut sql = Sql::new(INSERT);
    values(&mut sql, id, decision);
    sqlx::raw_sql(sql.into_statement())
        .execute(tx.conn())
        .await?;
    Ok(())
}
