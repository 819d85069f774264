//! The refunds of an order.

use std::collections::BTreeSet;

use sqlx::{Row as _, mysql::MySqlRow};

use crate::{
    db::{LoadRows, RowSet, Sql},
    primitives::{OrderId, RefundId},
};

/// The ids of an order's refunds, which lead to their rows. Read-only. A refund that is requested
/// in the same batch is missing, and is handled later.
#[derive(Debug)]
pub(in crate::sharing) struct RefundsOf;

impl RowSet for RefundsOf {
    type Key = OrderId;
    type Row = BTreeSet<RefundId>;
    const LOCK_ORDER: u8 = 38;
}

impl LoadRows for RefundsOf {
    fn load(keys: &[OrderId], sql: &mut Sql) {
        sql.push(
            "SELECT /* sharing.load_refunds_of */ order_id, id FROM refunds WHERE order_id IN (",
        );
        sql.values(keys).push(")");
    }

    fn read(row: &MySqlRow) -> Result<(OrderId, Self::Row), sqlx::Error> {
        Ok((row.try_get(0)?, BTreeSet::from([row.try_get(1)?])))
    }

    fn merge(known: &mut Option<Self::Row>, row: Self::Row) {
        known.get_or_insert_default().extend(row);
    }
}
