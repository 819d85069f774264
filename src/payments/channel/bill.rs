//! Bills in our words. What a file looks like is known to `wechat/` alone.

use rust_decimal::Decimal;

use crate::primitives::{BusinessDay, Timestamp};

/// Which of a day's bills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BillKind {
    /// 交易账单: payments and refunds of every merchant.
    Trade,
    /// 资金账单: what moved on our own basic account.
    FundFlow,
}

/// A bill as downloaded, after its hash was found right. The file is there whether or not it can be
/// read: it may not be had again.
#[derive(Debug, Clone)]
pub struct Bill {
    pub kind: BillKind,
    pub day: BusinessDay,
    /// The file, byte for byte.
    pub file: Vec<u8>,
    /// SHA-1 of the file, 40 hex digits, as the channel stated it.
    pub sha1: String,
    pub content: Result<BillContent, UnreadableBill>,
}

/// Why a bill cannot be read: which line, which column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the bill cannot be read: {0}")]
pub struct UnreadableBill(pub String);

/// What a bill says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillContent {
    pub lines: BillLines,
    pub summary: BillSummary,
    /// Where the channel's own sums are not those of the lines. None should be: a line is missing,
    /// or is not what it was.
    pub disagreements: Vec<BillDisagreement>,
}

/// A sum of the last line that is not the sum of the lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{column} is {said}, and the lines come to {found}")]
pub struct BillDisagreement {
    pub column: String,
    /// As it stands there.
    pub said: String,
    pub found: Decimal,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BillLines {
    Trade(Vec<TradeLine>),
    FundFlow(Vec<FundLine>),
}

/// The last line, as (name of the column, value): the channel's own sums.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BillSummary(pub Vec<(String, String)>);

/// 交易状态 of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TradeState {
    Success,
    Refund,
    Revoked,
    /// Something that the channel has added since.
    Other(String),
}

/// A payment or a refund. Amounts are fen and may be negative only where stated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TradeLine {
    /// Of a refund: when it was taken.
    pub at: Timestamp,
    pub app_id: String,
    pub mchid: String,
    /// The merchant; none in direct mode (`0`).
    pub sub_mchid: Option<String>,
    pub wechat_transaction_id: String,
    pub out_trade_no: String,
    pub trade_type: String,
    pub state: TradeState,
    pub currency: String,
    /// 应结订单金额; zero on a refund's line.
    pub settled_fen: i64,
    /// 订单金额, absent from early bills.
    pub order_fen: Option<i64>,
    pub refund: Option<RefundLine>,
    /// 手续费 in yuan, five decimals; negative on a refund's line, where it comes back.
    pub fee_yuan: Decimal,
    /// 费率 as written, such as `0.60%`.
    pub rate: String,
    /// 商品名称 and 商户数据包, free text.
    pub description: String,
    pub attach: String,
}

/// What a refund's line has besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundLine {
    pub wechat_refund_id: String,
    pub out_refund_no: String,
    pub refund_fen: i64,
    /// 申请退款金额.
    pub asked_fen: Option<i64>,
    /// 退款状态 when the bill was made: it may have changed since.
    pub status: String,
}

/// A movement on our own account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FundLine {
    pub at: Timestamp,
    pub wechat_no: String,
    pub flow_no: String,
    pub business: String,
    pub kind: String,
    /// Positive in, negative out.
    pub change_fen: i64,
    pub balance_fen: i64,
    pub applicant: String,
    pub remark: String,
    pub voucher: String,
}
