//! 交易账单: payments and refunds.

use super::{
    BillError,
    sums::Sum,
    table::{Row, Table},
    value::{fee, fen_not_negative, time, wrong},
};
use crate::{
    payments::{RefundLine, TradeLine, TradeState},
    primitives::BusinessDay,
};

/// What the last line says of all lines, under the names of today and of early bills.
pub(super) fn sums(lines: &[TradeLine]) -> Vec<Sum> {
    let refunds = lines.iter().filter_map(|line| line.refund.as_ref());
    vec![
        Sum::count(&["总交易单数"], lines.len()),
        Sum::fen(
            &["应结订单总金额", "总交易额"],
            lines.iter().map(|line| line.settled_fen),
        ),
        Sum::fen(
            &["退款总金额", "总退款金额"],
            refunds.clone().map(|refund| refund.refund_fen),
        ),
        Sum::yuan(&["手续费总金额"], lines.iter().map(|line| line.fee_yuan)),
        Sum::fen(
            &["订单总金额"],
            lines.iter().filter_map(|line| line.order_fen),
        ),
        Sum::fen(
            &["申请退款总金额"],
            refunds.filter_map(|refund| refund.asked_fen),
        ),
    ]
}

/// What the sums begin with.
pub(super) const FIRST_SUM: &str = "总交易单数";

/// What stands for "none" in a number's place.
const NONE: [&str; 2] = ["", "0"];

/// Where things are. Some have had other names (§6.5), and bills of payments alone lack what
/// belongs to refunds.
struct Columns {
    at: usize,
    /// 交易时间 of bills of refunds alone is the payment's.
    refunded_at: Option<usize>,
    app_id: usize,
    mchid: usize,
    sub_mchid: usize,
    transaction: usize,
    out_trade_no: usize,
    trade_type: usize,
    state: usize,
    currency: usize,
    settled: usize,
    order: Option<usize>,
    refund: Option<RefundColumns>,
    fee: usize,
    rate: usize,
    description: usize,
    attach: usize,
}

struct RefundColumns {
    id: usize,
    number: usize,
    amount: usize,
    asked: Option<usize>,
    status: usize,
}

impl Columns {
    fn find(table: &Table<'_>) -> Result<Self, BillError> {
        let refund = match table.find(&["微信退款单号"]) {
            None => None,
            Some(id) => Some(RefundColumns {
                id,
                number: table.need(&["商户退款单号"])?,
                amount: table.need(&["退款金额"])?,
                asked: table.find(&["申请退款金额"]),
                status: table.need(&["退款状态"])?,
            }),
        };
        Ok(Self {
            at: table.need(&["交易时间"])?,
            refunded_at: table.find(&["退款申请时间"]),
            app_id: table.need(&["公众账号ID"])?,
            mchid: table.need(&["商户号"])?,
            sub_mchid: table.need(&["特约商户号", "子商户号"])?,
            transaction: table.need(&["微信订单号"])?,
            out_trade_no: table.need(&["商户订单号"])?,
            trade_type: table.need(&["交易类型"])?,
            state: table.need(&["交易状态"])?,
            currency: table.need(&["货币种类"])?,
            settled: table.need(&["应结订单金额", "总金额"])?,
            order: table.find(&["订单金额"]),
            refund,
            fee: table.need(&["手续费"])?,
            rate: table.need(&["费率"])?,
            description: table.need(&["商品名称"])?,
            attach: table.need(&["商户数据包"])?,
        })
    }

    fn read(&self, row: &Row<'_>, day: BusinessDay) -> Result<TradeLine, BillError> {
        let line = row.line;
        let amount = |column, name| {
            fen_not_negative(row.text(column)).ok_or(wrong(line, name, "an amount in yuan"))
        };
        let number = |column, name| match row.text(column) {
            "" | "0" => Err(wrong(line, name, "a number")),
            text => Ok(text.to_owned()),
        };
        let state = match row.text(self.state) {
            "" => return Err(wrong(line, "交易状态", "a state")),
            "SUCCESS" => TradeState::Success,
            "REFUND" => TradeState::Refund,
            "REVOKED" => TradeState::Revoked,
            other => TradeState::Other(other.to_owned()),
        };
        let refund = match &self.refund {
            Some(columns) if !NONE.contains(&row.text(columns.id)) => Some(RefundLine {
                wechat_refund_id: row.text(columns.id).to_owned(),
                out_refund_no: number(columns.number, "商户退款单号")?,
                refund_fen: amount(columns.amount, "退款金额")?,
                asked_fen: columns
                    .asked
                    .map(|column| amount(column, "申请退款金额"))
                    .transpose()?,
                status: row.text(columns.status).to_owned(),
            }),
            Some(_) | None => None,
        };
        if state == TradeState::Refund && refund.is_none() {
            return Err(wrong(line, "微信退款单号", "a number"));
        }
        let at = match (self.refunded_at, &refund) {
            (Some(column), Some(_)) => (column, "退款申请时间"),
            (Some(_) | None, _) => (self.at, "交易时间"),
        };
        let sub_mchid = row.text(self.sub_mchid);
        Ok(TradeLine {
            at: time(row.text(at.0), day).ok_or(wrong(line, at.1, "a time of that day"))?,
            app_id: row.text(self.app_id).to_owned(),
            mchid: number(self.mchid, "商户号")?,
            sub_mchid: (!NONE.contains(&sub_mchid)).then(|| sub_mchid.to_owned()),
            wechat_transaction_id: number(self.transaction, "微信订单号")?,
            out_trade_no: number(self.out_trade_no, "商户订单号")?,
            trade_type: row.text(self.trade_type).to_owned(),
            state,
            currency: row.text(self.currency).to_owned(),
            settled_fen: amount(self.settled, "应结订单金额")?,
            order_fen: self
                .order
                .map(|column| amount(column, "订单金额"))
                .transpose()?,
            refund,
            fee_yuan: fee(row.text(self.fee)).ok_or(wrong(line, "手续费", "a fee in yuan"))?,
            rate: row.text(self.rate).to_owned(),
            description: row.text(self.description).to_owned(),
            attach: row.text(self.attach).to_owned(),
        })
    }
}

pub(super) fn read(table: &mut Table<'_>, day: BusinessDay) -> Result<Vec<TradeLine>, BillError> {
    let columns = Columns::find(table)?;
    table.set_free(&[columns.description, columns.attach]);
    let mut lines = Vec::new();
    while let Some(row) = table.next_row()? {
        lines.push(columns.read(&row, day)?);
    }
    Ok(lines)
}
