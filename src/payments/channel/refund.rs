//! Refunds in the channel's words, turned into ours.

use crate::primitives::{Money, OrderId, OrderNo, RefundNo, Secret, Timestamp, coded};

/// A refund of one order, whole or in part. The same call with the same number refunds once.
#[derive(Debug, Clone)]
pub struct RefundCall {
    pub refund_no: RefundNo,
    pub order_no: OrderNo,
    /// The merchant's number at the channel; in direct mode our own.
    pub sub_mchid: String,
    pub amount: Money,
    /// Of the whole order.
    pub total: Money,
    /// Shown to the customer; at most 80 bytes are sent.
    pub reason: String,
    pub notify_path: String,
}

coded! {
    /// Where the channel says a refund stands.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum RefundStatus: Display {
        Processing => "processing",
        Success => "success",
        /// It will not happen; the money stays with the merchant.
        Closed => "closed",
        /// The customer's bank does not take it: a person must say where the money shall go.
        Abnormal => "abnormal",
    }
}

/// A refund as the channel knows it: the answer to a call or a query, proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRefund {
    /// As text: it may be anything until it is looked up.
    pub out_refund_no: String,
    pub out_trade_no: String,
    pub wechat_refund_id: String,
    pub status: RefundStatus,
    pub amount: Money,
    pub total: Money,
    /// When the money arrived, once it did.
    pub succeeded_at: Option<Timestamp>,
    /// Where it went, in the channel's words, such as `支付用户零钱`.
    pub received_account: Option<String>,
}

impl ChannelRefund {
    /// The order that it is of. None when its number is not of our form.
    pub fn order_id(&self) -> Option<OrderId> {
        self.out_trade_no.parse::<OrderNo>().ok().map(OrderNo::id)
    }
}

/// The channel's statement about a refund, from a callback whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundNotice {
    pub sp_mchid: String,
    pub sub_mchid: String,
    pub wechat_transaction_id: String,
    pub refund: ChannelRefund,
}

/// Where an abnormal refund shall go instead (异常退款).
#[derive(Debug, Clone)]
pub struct AbnormalRefund {
    pub refund_no: RefundNo,
    pub wechat_refund_id: String,
    pub sub_mchid: String,
    /// A card of the customer; none: to the merchant's own settlement account, which pays the
    /// customer some other way.
    pub card: Option<BankCard>,
}

/// Sent encrypted to the channel's key; kept nowhere.
#[derive(Debug, Clone)]
pub struct BankCard {
    /// The channel's code of the bank, such as `ICBC_DEBIT`.
    pub bank_type: String,
    pub number: Secret<String>,
    pub holder: Secret<String>,
}
