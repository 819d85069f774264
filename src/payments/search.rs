//! What lists of payments and refunds are narrowed by besides whose they are and how they stand.

use super::store::ForeignRefunds;
use crate::{
    db::Sql,
    primitives::{Id, Money, OrderId, RefundNo, TenantId, Timestamp},
};

/// What is looked for. All of it must fit; what is absent fits everything.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// WeChat's number of the payment (`transaction_id`).
    pub wechat_transaction_id: Option<String>,
    /// WeChat's number of the refund (`refund_id`).
    pub wechat_refund_id: Option<String>,
    /// Under which whoever asked for the refund knows it at WeChat: here, or elsewhere.
    pub out_refund_no: Option<String>,
    /// Of refunds: whose order.
    pub order: Option<OrderId>,
    /// Of the payment, or of the refund.
    pub amount: Option<Money>,
    /// Made at this instant or later.
    pub from: Option<Timestamp>,
    /// Made before this instant.
    pub to: Option<Timestamp>,
}

/// Ids from the first that is meant to the first that is not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IdRange {
    pub(super) from: Id,
    pub(super) end: Id,
}

impl Search {
    /// The ids that are looked for, when the page ends before `before`. When a thing was made
    /// stands in its id, so a stretch of time is a range of the primary key (and of every other,
    /// which end with it) and needs no index of its own.
    pub(super) fn range(&self, before: Option<Id>) -> IdRange {
        let id = |at: Timestamp| Id::beginning(at.micros().max(0).unsigned_abs().div_ceil(1_000));
        let from = self.from.map_or(Id::from_bytes([0; 16]), id);
        let end = before.unwrap_or(Id::from_bytes([0xff; 16]));
        IdRange {
            from,
            end: self.to.map_or(end, |to| id(to).min(end)),
        }
    }

    /// `AND` and what else must hold of an order `o`.
    pub(super) fn of_orders(&self, sql: &mut Sql) {
        if let Some(number) = &self.wechat_transaction_id {
            sql.push(" AND o.wechat_transaction_id = ").text(number);
        }
        if let Some(amount) = self.amount {
            sql.push(" AND o.amount_fen = ").int(amount.get());
        }
    }

    /// `AND` and what else must hold of a refund `r`.
    pub(super) fn of_refunds(&self, tenant: TenantId, sql: &mut Sql) {
        if let Some(number) = &self.out_refund_no {
            // Two keys: the row that a number of somebody else's has, and the row whose number it
            // is.
            sql.push(
                " AND (r.id = (SELECT f.refund_id FROM foreign_refunds f WHERE f.number_hash = ",
            )
            .bytes(&ForeignRefunds::key_of(tenant, number))
            .push(")");
            if let Ok(own) = number.parse::<RefundNo>() {
                sql.push(" OR r.id = ").bytes(own.id().bytes());
            }
            sql.push(")");
        }
        if let Some(order) = self.order {
            sql.push(" AND r.order_id = ").bytes(order.bytes());
        }
        if let Some(number) = &self.wechat_refund_id {
            sql.push(" AND r.wechat_refund_id = ").text(number);
        }
        if let Some(number) = &self.wechat_transaction_id {
            sql.push(" AND r.order_id = (SELECT o.id FROM payment_orders o WHERE o.wechat_transaction_id = ")
                .text(number)
                .push(")");
        }
        if let Some(amount) = self.amount {
            sql.push(" AND r.amount_fen = ").int(amount.get());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::Lane;

    #[test]
    fn a_stretch_of_time_is_a_range_of_ids() {
        let at = |micros| Some(Timestamp::from_micros(micros));
        let search = Search {
            from: at(5_000),
            to: at(7_001),
            ..Search::default()
        };
        let IdRange { from, end } = search.range(None);
        for (millis, inside) in [(4, false), (5, true), (7, true), (8, false)] {
            let id = Id::mint(millis, u64::MAX, Lane(255));
            assert_eq!(from <= id && id < end, inside, "{millis}");
        }
        let cursor = Id::mint(6, 0, Lane(0));
        assert_eq!(search.range(Some(cursor)).end, cursor);
        let IdRange { from, end } = Search::default().range(None);
        assert_eq!((*from.bytes(), *end.bytes()), ([0; 16], [0xff; 16]));
    }
}
