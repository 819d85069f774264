//! Reading a bill's file (§6.5, §6.6).
//!
//! A bill is text: a line of column names, a line per trade or movement, a line with the names of sums, a line of sums. Names are bare
//! and separated by commas. Every value begins with a backtick, so the separator of values is a comma and a backtick, and a comma
//! or a quote inside a value means nothing:
//!
//! ```text
//! 交易时间,公众账号ID,商户号,…,商品名称,商户数据包,手续费,费率,…
//! `2026-11-20 10:11:12,`wx0123456789abcdef,`1900000001,…,`茶,两杯 "大",`{"a":1,"b":2},`0.07680,`0.60%,…
//! 总交易单数,应结订单总金额,退款总金额,…
//! `1,`12.80,`0.00,…
//! ```
//!
//! What columns there are depends on the kind of bill, on the account's age and on WeChat, so they are found by name. What may vary
//! harmlessly does: a byte order mark, the line ends, columns that we do not know. Anything else that is not as it should be is an error
//! with its line and column: a line that is skipped is money that nobody misses.
//!
//! Amounts in the file are yuan with two decimals. They become fen by their digits; no float comes near them.

mod fund_flow;
mod table;
mod trade;
mod value;

use crate::{
    payments::{BillKind, BillLines, BillSummary},
    primitives::BusinessDay,
};

use table::Table;

/// Why a file is not a bill, or not one that we can read. Lines count from 1. No value is quoted: names of goods are nobody's business.
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
) -> Result<(BillLines, BillSummary), BillError> {
    let mut table = Table::open(bytes)?;
    let lines = match kind {
        BillKind::Trade => BillLines::Trade(trade::read(&mut table, day)?),
        BillKind::FundFlow => BillLines::FundFlow(fund_flow::read(&mut table, day)?),
    };
    let first = match kind {
        BillKind::Trade => trade::FIRST_SUM,
        BillKind::FundFlow => fund_flow::FIRST_SUM,
    };
    Ok((lines, table.summary(first)?))
}

#[cfg(test)]
mod tests;
