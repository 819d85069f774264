//! 资金账单: what moved on our own account.

use super::{
    BillError,
    sums::Sum,
    table::{Row, Table},
    value::{fen, fen_not_negative, time, wrong},
};
use crate::{payments::FundLine, primitives::BusinessDay};

/// What the last line says of all lines.
pub(super) fn sums(lines: &[FundLine]) -> Vec<Sum> {
    let changes = lines.iter().map(|line| line.change_fen);
    let into = changes.clone().filter(|fen| *fen >= 0);
    let out = changes.filter(|fen| *fen < 0).map(i64::saturating_neg);
    vec![
        Sum::count(&["资金流水总笔数"], lines.len()),
        Sum::count(&["收入笔数"], into.clone().count()),
        Sum::fen(&["收入金额"], into),
        Sum::count(&["支出笔数"], out.clone().count()),
        Sum::fen(&["支出金额"], out),
    ]
}

/// What the sums begin with.
pub(super) const FIRST_SUM: &str = "资金流水总笔数";

struct Columns {
    at: usize,
    wechat_no: usize,
    flow_no: usize,
    business: usize,
    kind: usize,
    direction: usize,
    amount: usize,
    balance: usize,
    applicant: usize,
    remark: usize,
    voucher: usize,
}

impl Columns {
    fn find(table: &Table<'_>) -> Result<Self, BillError> {
        Ok(Self {
            at: table.need(&["记账时间"])?,
            wechat_no: table.need(&["微信支付业务单号"])?,
            flow_no: table.need(&["资金流水单号"])?,
            business: table.need(&["业务名称"])?,
            kind: table.need(&["业务类型"])?,
            direction: table.need(&["收支类型"])?,
            amount: table.need(&["收支金额(元)", "收支金额（元）"])?,
            balance: table.need(&["账户结余(元)", "账户结余（元）"])?,
            applicant: table.need(&["资金变更提交申请人"])?,
            remark: table.need(&["备注"])?,
            voucher: table.need(&["业务凭证号"])?,
        })
    }

    fn read(&self, row: &Row<'_>, day: BusinessDay) -> Result<FundLine, BillError> {
        let line = row.line;
        let amount = fen_not_negative(row.text(self.amount)).ok_or(wrong(
            line,
            "收支金额(元)",
            "an amount in yuan",
        ))?;
        let change_fen = match row.text(self.direction) {
            "收入" => Some(amount),
            "支出" => amount.checked_neg(),
            _ => None,
        };
        let flow_no = row.text(self.flow_no);
        if flow_no.is_empty() {
            return Err(wrong(line, "资金流水单号", "a number"));
        }
        Ok(FundLine {
            at: time(row.text(self.at), day).ok_or(wrong(
                line,
                "记账时间",
                "a time of that day",
            ))?,
            wechat_no: row.text(self.wechat_no).to_owned(),
            flow_no: flow_no.to_owned(),
            business: row.text(self.business).to_owned(),
            kind: row.text(self.kind).to_owned(),
            change_fen: change_fen.ok_or(wrong(line, "收支类型", "收入 or 支出"))?,
            balance_fen: fen(row.text(self.balance)).ok_or(wrong(
                line,
                "账户结余(元)",
                "an amount in yuan",
            ))?,
            applicant: row.text(self.applicant).to_owned(),
            remark: row.text(self.remark).to_owned(),
            voucher: row.text(self.voucher).to_owned(),
        })
    }
}

pub(super) fn read(table: &mut Table<'_>, day: BusinessDay) -> Result<Vec<FundLine>, BillError> {
    let columns = Columns::find(table)?;
    table.set_free(&[columns.remark]);
    let mut lines = Vec::new();
    while let Some(row) = table.next_row()? {
        lines.push(columns.read(&row, day)?);
    }
    Ok(lines)
}
