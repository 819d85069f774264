//! Reading a bill's file (§6.5, §6.6).
//!
//! A bill is text: a line of column names, a line per trade or movement, a line with the names of
//! sums, and a line of sums. Names are bare and separated by commas. Every value begins with a
//! backtick, so the separator of values is a comma and a backtick. Nothing is escaped, so text that
//! people typed may contain the separator. Such text is in two adjacent columns; therefore the
//! columns before them are counted from the front of the line and those after them from its end,
//! and amounts are found whatever a merchant's name contains.
//!
//!
//! ```text
//! 交易时间,公众账号ID,商户号,…,商品名称,商户数据包,手续费,费率,…
//! `2026-11-20 10:11:12,`wx0123456789abcdef,`1900000001,…,`茶,两杯 "大",`{"a":1,"b":2},`0.07680,`0.60%,…
//! 总交易单数,应结订单总金额,退款总金额,…
//! `1,`12.80,`0.00,…
//! ```
//!
//! The columns depend on the kind of bill, on the account's age and on WeChat, so they are found by
//! name. Harmless variation is accepted: a byte order mark, either line ending, unknown columns.
//! Everything else that is unexpected is an error with its line and column, since a skipped line
//! would be missing money.
//!
//! The sums in the last line are compared with the lines ([`BillContent::disagreements`]).
//!
//! Amounts in the file are yuan with two decimals. They are converted to fen digit by digit,
//! without floats.

mod fund_flow;
mod sums;
mod table;
mod trade;
mod value;

use crate::{
    payments::{BillContent, BillKind, BillLines},
    primitives::BusinessDay,
};

use table::Table;

/// Why a file is not a bill, or not one that we can read. Lines count from 1. No value is quoted:
/// names of goods are nobody's business.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BillError {
    #[error("line {line} is not UTF-8")]
    Encoding { line: usize },
    #[error("the file is empty")]
    Empty,
    #[error("line {line} has no column {column}")]
    NoColumn { line: usize, column: &'static str },
    #[error("line {line} names a column twice or not at all")]
    Columns { line: usize },
    #[error("line {line} has {found} values and there are {expected} columns")]
    Width {
        line: usize,
        found: usize,
        expected: usize,
    },
    #[error("line {line}, column {column}: not {expected}")]
    Value {
        line: usize,
        column: &'static str,
        expected: &'static str,
    },
    #[error("line {line} is not where a line of that kind can be")]
    Misplaced { line: usize },
    #[error("the file ends after line {line} without its sums")]
    Truncated { line: usize },
}

/// Reads the file of `day`'s bill, uncompressed. Takes any bytes and never panics.
pub fn parse_bill(
    kind: BillKind,
    day: BusinessDay,
    bytes: &[u8],
) -> Result<BillContent, BillError> {
    let mut table = Table::open(bytes)?;
    let (lines, sums, first) = match kind {
        BillKind::Trade => {
            let lines = trade::read(&mut table, day)?;
            let sums = trade::sums(&lines);
            (BillLines::Trade(lines), sums, trade::FIRST_SUM)
        }
        BillKind::FundFlow => {
            let lines = fund_flow::read(&mut table, day)?;
            let sums = fund_flow::sums(&lines);
            (BillLines::FundFlow(lines), sums, fund_flow::FIRST_SUM)
        }
    };
    let summary = table.summary(first)?;
    Ok(BillContent {
        lines,
        disagreements: sums::compare(&sums, &summary),
        summary,
    })
}

#[cfg(test)]
mod tests;
