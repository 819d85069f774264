//! What stands in a bill, gathered from the orders, refunds and shares that the simulator knows.

use time::macros::{offset, time};
use time::{Date, Duration, OffsetDateTime};

use super::bill_file::bill_day;
use super::coupon::Coupon;
use super::fund_flow::Flow;
use super::lock::lock;
use super::orders::{Order, OrderState};
use super::refunds::{Refund, RefundState};
use super::sharing::book::{PartOutcome, ReturnOutcome};
use super::state::Shared;
use super::trade_bill::{RefundPart, Trade};

/// The payments and refunds of one day, of one merchant or of all.
pub(super) fn trades(shared: &Shared, day: Date, sub_mchid: Option<&str>) -> Vec<Trade> {
    let wanted =
        |order: &Order| sub_mchid.is_none_or(|mchid| order.party.sub_mchid() == Some(mchid));
    // Made at nine the next morning, or just now.
    let nine = day
        .saturating_add(Duration::days(1))
        .with_time(time!(9:00))
        .assume_offset(offset!(+8));
    let frozen_at = nine.min(shared.clock.now());
    let orders = lock(&shared.orders);
    let refunds = lock(&shared.refunds);
    let mut trades: Vec<Trade> = orders
        .newest()
        .filter(|order| wanted(order))
        .filter_map(|order| payment(shared, order))
        .filter(|trade| bill_day(trade.at) == day)
        .collect();
    for refund in refunds.all() {
        if bill_day(refund.accepted_at) != day {
            continue;
        }
        let Some(order) = orders
            .by_number(&refund.out_trade_no)
            .filter(|order| wanted(order))
        else {
            continue;
        };
        let Some(paid) = payment(shared, order) else {
            continue;
        };
        let rules = shared.merchants.rules(order.party.receiver(&shared.keys));
        let fee_fen = returned_fee_fen(refund, refunds.of_order(&refund.out_trade_no), |fen| {
            rules.fee_fen(fen)
        });
        trades.push(Trade {
            at: refund.accepted_at,
            fee_fen: fee_fen.saturating_neg(),
            refund: Some(refund_part(refund, frozen_at)),
            ..paid
        });
    }
    trades
}

/// The line of a payment, if the order is paid.
fn payment(shared: &Shared, order: &Order) -> Option<Trade> {
    let OrderState::Paid {
        transaction_id,
        paid_at,
    } = &order.state
    else {
        return None;
    };
    let rules = shared.merchants.rules(order.party.receiver(&shared.keys));
    Some(Trade {
        at: *paid_at,
        app_id: shared.keys.app_id().to_owned(),
        mchid: shared.keys.sp_mchid().to_owned(),
        sub_mchid: order.party.sub_mchid().map(str::to_owned),
        transaction_id: transaction_id.to_string(),
        out_trade_no: order.out_trade_no.to_string(),
        payer: order.party.mini_program_payer().to_owned(),
        trade_type: order.trade_type.word(),
        total_fen: order.total_fen,
        settled_fen: order.settled_fen(),
        coupon_fen: order.coupon.as_ref().map_or(0, |coupon| coupon.amount_fen),
        description: order.description.to_string(),
        attach: order.attach.as_deref().unwrap_or("").to_owned(),
        fee_fen: rules.fee_fen(order.settled_fen()),
        fee_basis_points: rules.fee_basis_points,
        refund: None,
    })
}

/// How much of the fee a refund gives back: the fee on what was left before it, less the fee on
/// what is left after it. A closed refund gives back nothing.
fn returned_fee_fen<'a>(
    refund: &Refund,
    of_order: impl Iterator<Item = &'a Refund>,
    fee_fen: impl Fn(i64) -> i64,
) -> i64 {
    if refund.state == RefundState::Closed {
        return 0;
    }
    let before_fen = of_order
        .take_while(|other| other.out_refund_no != refund.out_refund_no)
        .filter(|other| other.state != RefundState::Closed)
        .fold(0, |sum: i64, other| sum.saturating_add(other.settled_fen()));
    let borne_fen = refund
        .coupon
        .as_ref()
        .map_or(0, Coupon::borne_by_merchant_fen);
    let left_fen = refund
        .total_fen
        .saturating_sub(borne_fen)
        .saturating_sub(before_fen);
    fee_fen(left_fen).saturating_sub(fee_fen(left_fen.saturating_sub(refund.settled_fen())))
}

/// A refund as of when the bill was made.
fn refund_part(refund: &Refund, frozen_at: OffsetDateTime) -> RefundPart {
    let (status, succeeded_at) = match refund.state {
        RefundState::Success { at } if at <= frozen_at => ("SUCCESS", Some(at)),
        RefundState::Success { .. } | RefundState::Processing => ("PROCESSING", None),
        RefundState::Closed => ("FAIL", None),
        RefundState::Abnormal => ("CHANGE", None),
    };
    RefundPart {
        refund_id: refund.refund_id.clone(),
        out_refund_no: refund.out_refund_no.clone(),
        refund_fen: refund.refund_fen,
        settled_fen: refund.settled_fen(),
        coupon_fen: refund.discount_fen,
        status,
        succeeded_at,
    }
}

/// Every movement on the merchant's own account, of all days.
pub(super) fn flows(shared: &Shared) -> Vec<Flow> {
    let own = shared.keys.sp_mchid();
    let mut flows = Vec::new();
    {
        let orders = lock(&shared.orders);
        let refunds = lock(&shared.refunds);
        let direct = |order: &Order| order.party.sub_mchid().is_none();
        let rules = shared.merchants.rules(own);
        for order in orders.newest().filter(|order| direct(order)) {
            let Some(paid) = payment(shared, order) else {
                continue;
            };
            let flow = |business, amount_fen| Flow {
                at: paid.at,
                wechat_number: paid.transaction_id.clone(),
                business,
                amount_fen,
                remark: String::new(),
                voucher: paid.out_trade_no.clone(),
            };
            flows.push(flow("交易", paid.settled_fen));
            if paid.fee_fen > 0 {
                flows.push(flow("扣除交易手续费", paid.fee_fen.saturating_neg()));
            }
            for refund in refunds.of_order(&order.out_trade_no) {
                if refund.state == RefundState::Closed {
                    continue;
                }
                let of_order = refunds.of_order(&order.out_trade_no);
                let fee_fen = returned_fee_fen(refund, of_order, |fen| rules.fee_fen(fen));
                let flow = |business, amount_fen| Flow {
                    at: refund.accepted_at,
                    wechat_number: refund.refund_id.clone(),
                    business,
                    amount_fen,
                    remark: refund.reason.clone().unwrap_or_default(),
                    voucher: refund.out_refund_no.clone(),
                };
                flows.push(flow("退款", refund.settled_fen().saturating_neg()));
                if fee_fen > 0 {
                    flows.push(flow("退还交易手续费", fee_fen));
                }
            }
        }
    }
    let book = lock(&shared.sharing);
    for share in book.shares() {
        for part in share.leaving() {
            let PartOutcome::Success(at) = part.outcome else {
                continue;
            };
            let amount_fen = if share.mchid == own {
                part.amount_fen.saturating_neg()
            } else if part.account == own {
                part.amount_fen
            } else {
                continue;
            };
            flows.push(Flow {
                at,
                wechat_number: share.order_id.clone(),
                business: "分账",
                amount_fen,
                remark: String::new(),
                voucher: share.out_order_no.clone(),
            });
        }
    }
    for back in book.returns() {
        let ReturnOutcome::Success(at) = back.outcome else {
            continue;
        };
        let amount_fen = if back.mchid == own {
            back.amount_fen
        } else if back.return_mchid == own {
            back.amount_fen.saturating_neg()
        } else {
            continue;
        };
        flows.push(Flow {
            at,
            wechat_number: back.return_id.clone(),
            business: "分账回退",
            amount_fen,
            remark: String::new(),
            voucher: back.out_return_no.clone(),
        });
    }
    flows
}
