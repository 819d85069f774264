//! Sharings, their parts and their returns, paged as in [`super::pages`].

use sqlx::{Row as _, mysql::MySqlRow};

use super::{pages::Paged, readable::RowKey};
use crate::{
    db::Sql,
    payments::RefundStateKind,
    primitives::{
        MerchantId, OrderId, ReceiverId, RefundId, SharingId, SharingPartId, SharingReturnId,
        TenantId,
    },
    sharing::{PartState, ReceiverKind, ReturnState, ShareStateKind},
};

/// A sharing; amounts in fen.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShareItem {
    pub(super) id: SharingId,
    pub(super) tenant: TenantId,
    pub(super) order: OrderId,
    pub(super) merchant: MerchantId,
    pub(super) base: i64,
    pub(super) asked_before: i64,
    /// None when the number means nothing.
    pub(super) state: Option<ShareStateKind>,
    /// What is not shared is released under a number of its own.
    pub(super) releases: bool,
    /// The refund for which shares are coming back.
    pub(super) returning: Option<RefundId>,
    /// The order's refunds that are booked, count against it and are past waiting for shares. Not
    /// those that others made: nobody asks shares back for them.
    pub(super) refunded: i64,
}

/// `sharings` by id.
pub(super) struct Shares;

/// `sharings` by order.
pub(super) struct SharesByOrder;

fn select_shares(sql: &mut Sql) {
    sql.push(
        "SELECT /* verify.sharings */ s.id, s.tenant_id, s.order_id, s.merchant_id, s.base_fen, s.asked_before_fen, s.state, s.release_id IS NOT NULL, s.refund_id, \
         (SELECT CAST(COALESCE(SUM(r.amount_fen), 0) AS SIGNED) FROM refunds r WHERE r.order_id = s.order_id AND r.origin = 0 AND r.state IN (",
    );
    let past = RefundStateKind::ALL.into_iter().filter(|kind| {
        kind.counts_against_order() && kind.is_booked() && *kind != RefundStateKind::Returning
    });
    sql.values(past.map(RefundStateKind::code))
        .push(")) FROM sharings s");
}

fn read_share(row: &MySqlRow) -> Result<ShareItem, sqlx::Error> {
    Ok(ShareItem {
        id: row.try_get(0)?,
        tenant: row.try_get(1)?,
        order: row.try_get(2)?,
        merchant: row.try_get(3)?,
        base: row.try_get(4)?,
        asked_before: row.try_get(5)?,
        state: code(row, 6)?.and_then(ShareStateKind::from_code),
        releases: row.try_get::<i64, _>(7)? != 0,
        returning: row.try_get(8)?,
        refunded: row.try_get(9)?,
    })
}

fn code(row: &MySqlRow, column: usize) -> Result<Option<u8>, sqlx::Error> {
    let code: Option<i8> = row.try_get(column)?;
    Ok(code.and_then(|code| u8::try_from(code).ok()))
}

impl Paged for Shares {
    type Item = ShareItem;
    const ROW: RowKey = RowKey("sharings", 1);

    fn after(last: Option<&ShareItem>, sql: &mut Sql) {
        select_shares(sql);
        if let Some(last) = last {
            sql.push(" WHERE s.id > ").bytes(last.id.bytes());
        }
        sql.push(" ORDER BY s.id");
    }

    fn read(row: &MySqlRow) -> Result<ShareItem, sqlx::Error> {
        read_share(row)
    }
}

impl Paged for SharesByOrder {
    type Item = ShareItem;
    const ROW: RowKey = RowKey("sharings", 1);

    fn after(last: Option<&ShareItem>, sql: &mut Sql) {
        select_shares(sql);
        sql.push(" FORCE INDEX (sharings_order)");
        if let Some(last) = last {
            sql.push(" WHERE s.order_id > ").bytes(last.order.bytes());
        }
        sql.push(" ORDER BY s.order_id");
    }

    fn read(row: &MySqlRow) -> Result<ShareItem, sqlx::Error> {
        read_share(row)
    }
}

/// Whose money a part or a return moves.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShareOwner {
    pub(super) tenant: TenantId,
    pub(super) merchant: MerchantId,
}

fn read_owner(row: &MySqlRow, column: usize) -> Result<Option<ShareOwner>, sqlx::Error> {
    let tenant: Option<u32> = row.try_get(column)?;
    let merchant: Option<MerchantId> = row.try_get(column + 1)?;
    Ok(tenant.zip(merchant).map(|(tenant, merchant)| ShareOwner {
        tenant: TenantId(tenant),
        merchant,
    }))
}

/// A part; amounts in fen.
#[derive(Debug, Clone)]
pub(super) struct PartItem {
    pub(super) id: SharingPartId,
    pub(super) sharing: SharingId,
    pub(super) receiver: ReceiverId,
    pub(super) amount: i64,
    pub(super) state: Option<PartState>,
    pub(super) returned: i64,
    /// It succeeded after it had been called failed.
    pub(super) late: bool,
    /// None when there is no such sharing.
    pub(super) owner: Option<ShareOwner>,
    /// The merchant that the receiver is one of, and what it is; none when there is no such
    /// receiver.
    pub(super) receiver_of: Option<(MerchantId, ReceiverKind)>,
}

/// `sharing_parts` by id.
pub(super) struct Parts;

/// `sharing_parts` by sharing and receiver.
pub(super) struct PartsBySharing;

const PARTS: &str = "SELECT /* verify.sharing_parts */ p.id, p.sharing_id, p.receiver_id, p.amount_fen, p.state, p.returned_fen, s.tenant_id, s.merchant_id, v.merchant_id, v.kind, p.late \
     FROM sharing_parts p";
const PARTS_JOINED: &str = " LEFT JOIN sharings s ON s.id = p.sharing_id LEFT JOIN sharing_receivers v ON v.id = p.receiver_id";

fn read_part(row: &MySqlRow) -> Result<PartItem, sqlx::Error> {
    let merchant: Option<MerchantId> = row.try_get(8)?;
    let kind: Option<String> = row.try_get(9)?;
    let kind = kind.as_deref().and_then(ReceiverKind::from_name);
    Ok(PartItem {
        id: row.try_get(0)?,
        sharing: row.try_get(1)?,
        receiver: row.try_get(2)?,
        amount: row.try_get(3)?,
        state: code(row, 4)?.and_then(PartState::from_code),
        returned: row.try_get(5)?,
        late: row.try_get::<i8, _>(10)? != 0,
        owner: read_owner(row, 6)?,
        receiver_of: merchant.zip(kind),
    })
}

impl Paged for Parts {
    type Item = PartItem;
    const ROW: RowKey = RowKey("sharing_parts", 1);

    fn after(last: Option<&PartItem>, sql: &mut Sql) {
        sql.push(PARTS).push(PARTS_JOINED);
        if let Some(last) = last {
            sql.push(" WHERE p.id > ").bytes(last.id.bytes());
        }
        sql.push(" ORDER BY p.id");
    }

    fn read(row: &MySqlRow) -> Result<PartItem, sqlx::Error> {
        read_part(row)
    }
}

/// A part that succeeded late.
#[derive(Debug, Clone)]
pub(super) struct LatePart(pub(super) PartItem);

/// Those of `sharing_parts` that succeeded late, by id.
pub(super) struct LateParts;

impl Paged for LateParts {
    type Item = LatePart;
    const ROW: RowKey = RowKey("sharing_parts", 1);

    fn after(last: Option<&LatePart>, sql: &mut Sql) {
        sql.push(PARTS)
            .push(PARTS_JOINED)
            .push(" WHERE p.late <> 0");
        if let Some(LatePart(last)) = last {
            sql.push(" AND p.id > ").bytes(last.id.bytes());
        }
        sql.push(" ORDER BY p.id");
    }

    fn read(row: &MySqlRow) -> Result<LatePart, sqlx::Error> {
        read_part(row).map(LatePart)
    }
}

impl Paged for PartsBySharing {
    type Item = PartItem;
    const ROW: RowKey = RowKey("sharing_parts", 1);

    fn after(last: Option<&PartItem>, sql: &mut Sql) {
        sql.push(PARTS)
            .push(" FORCE INDEX (sharing_parts_receiver)")
            .push(PARTS_JOINED);
        if let Some(last) = last {
            let (sharing, receiver) = (last.sharing.bytes(), last.receiver.bytes());
            sql.push(" WHERE p.sharing_id >= ").bytes(sharing);
            sql.push(" AND (p.sharing_id > ").bytes(sharing);
            sql.push(" OR p.receiver_id > ").bytes(receiver).push(")");
        }
        sql.push(" ORDER BY p.sharing_id, p.receiver_id");
    }

    fn read(row: &MySqlRow) -> Result<PartItem, sqlx::Error> {
        read_part(row)
    }
}

/// A return; its amount in fen.
#[derive(Debug, Clone)]
pub(super) struct ReturnItem {
    pub(super) id: SharingReturnId,
    pub(super) sharing: SharingId,
    pub(super) part: SharingPartId,
    pub(super) refund: RefundId,
    pub(super) amount: i64,
    pub(super) state: Option<ReturnState>,
    /// None when there is no such sharing.
    pub(super) owner: Option<ShareOwner>,
    /// None when there is no such part.
    pub(super) receiver: Option<ReceiverId>,
    /// None when there is no such refund.
    pub(super) refund_order: Option<OrderId>,
    /// Its refund waits for shares.
    pub(super) refund_waits: bool,
    /// It was withdrawn, and they come all the same.
    pub(super) refund_withdrawn: bool,
}

/// `sharing_returns` by id.
pub(super) struct Returns;

/// `sharing_returns` by sharing and id.
pub(super) struct ReturnsBySharing;

const RETURNS: &str = "SELECT /* verify.sharing_returns */ b.id, b.sharing_id, b.part_id, b.refund_id, b.amount_fen, b.state, s.tenant_id, s.merchant_id, p.receiver_id, \
     r.order_id, r.state FROM sharing_returns b";
const RETURNS_JOINED: &str = " LEFT JOIN sharings s ON s.id = b.sharing_id LEFT JOIN sharing_parts p ON p.id = b.part_id LEFT JOIN refunds r ON r.id = b.refund_id";

fn read_return(row: &MySqlRow) -> Result<ReturnItem, sqlx::Error> {
    let refund = code(row, 10)?.and_then(RefundStateKind::from_code);
    Ok(ReturnItem {
        id: row.try_get(0)?,
        sharing: row.try_get(1)?,
        part: row.try_get(2)?,
        refund: row.try_get(3)?,
        amount: row.try_get(4)?,
        state: code(row, 5)?.and_then(ReturnState::from_code),
        owner: read_owner(row, 6)?,
        receiver: row.try_get(8)?,
        refund_order: row.try_get(9)?,
        refund_waits: refund == Some(RefundStateKind::Returning),
        refund_withdrawn: refund == Some(RefundStateKind::Withdrawn),
    })
}

impl Paged for Returns {
    type Item = ReturnItem;
    const ROW: RowKey = RowKey("sharing_returns", 1);

    fn after(last: Option<&ReturnItem>, sql: &mut Sql) {
        sql.push(RETURNS).push(RETURNS_JOINED);
        if let Some(last) = last {
            sql.push(" WHERE b.id > ").bytes(last.id.bytes());
        }
        sql.push(" ORDER BY b.id");
    }

    fn read(row: &MySqlRow) -> Result<ReturnItem, sqlx::Error> {
        read_return(row)
    }
}

impl Paged for ReturnsBySharing {
    type Item = ReturnItem;
    const ROW: RowKey = RowKey("sharing_returns", 1);

    fn after(last: Option<&ReturnItem>, sql: &mut Sql) {
        sql.push(RETURNS)
            .push(" FORCE INDEX (sharing_returns_sharing)")
            .push(RETURNS_JOINED);
        if let Some(last) = last {
            let (sharing, id) = (last.sharing.bytes(), last.id.bytes());
            sql.push(" WHERE b.sharing_id >= ").bytes(sharing);
            sql.push(" AND (b.sharing_id > ").bytes(sharing);
            sql.push(" OR b.id > ").bytes(id).push(")");
        }
        sql.push(" ORDER BY b.sharing_id, b.id");
    }

    fn read(row: &MySqlRow) -> Result<ReturnItem, sqlx::Error> {
        read_return(row)
    }
}
