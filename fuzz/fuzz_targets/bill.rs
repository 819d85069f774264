//! A bill's file: any bytes are read or refused, and nothing panics. What has no line of column
//! names, no summary, or lines of another width is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zhangfang::{
    payments::{BillKind, BillLines},
    primitives::BusinessDay,
    wechat::parse_bill,
};

fuzz_target!(|bytes: &[u8]| {
    let day = BusinessDay::parse("2026-11-20").expect("a day");
    for (kind, first) in [
        (BillKind::Trade, "交易时间"),
        (BillKind::FundFlow, "记账时间"),
    ] {
        let Ok(content) = parse_bill(kind, day, bytes) else {
            continue;
        };
        let (lines, summary) = (content.lines, content.summary);
        let text = std::str::from_utf8(bytes).expect("a bill is text");
        assert!(text.contains(first), "taken without column names");
        assert!(!summary.0.is_empty(), "taken without a summary");
        // Each value is written after a backtick: no line can come from nothing.
        let values = text.matches('`').count();
        let (count, width) = match &lines {
            BillLines::Trade(lines) => (lines.len(), 20),
            BillLines::FundFlow(lines) => (lines.len(), 11),
        };
        assert!(count * width <= values, "lines out of nothing");
    }
});
