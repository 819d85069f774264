use proptest::prelude::*;

use super::*;
use crate::payments::{BillSummary, FundLine, TradeLine, TradeState};

const ALL: &str = "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注";
const PAID: &str = r#"`2026-11-20 10:11:12,`wx1,`1900000001,`1900000109,`,`4200001,`O1,`oA,`JSAPI,`SUCCESS,`OTHERS,`CNY,`12.80,`0.00,`0,`0,`0.00,`0.00,`,`,`茶,两杯 "大",`{"a":1,"b":"x,y"},`0.07680,`0.60%,`12.80,`0.00,`"#;
const BACK: &str = "`2026-11-20 12:00:00,`wx1,`1900000001,`1900000109,`,`4200001,`O1,`oA,`JSAPI,`REFUND,`OTHERS,`CNY,`0.00,`0.00,`5030,`R1,`2.00,`0.00,`ORIGINAL,`PROCESSING,`茶,`,`-0.01200,`0.60%,`0.00,`2.00,`";
const SUMS: &str = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n`2,`12.80,`2.00,`0.00,`0.06480,`12.80,`2.00\r\n";

fn day() -> BusinessDay {
    BusinessDay::parse("2026-11-20").unwrap()
}

fn bill(lines: &[&str]) -> String {
    format!("\u{feff}{ALL}\r\n{}\r\n{SUMS}", lines.join("\r\n"))
}

fn trade(text: &str) -> Result<(Vec<TradeLine>, BillSummary), BillError> {
    let content = parse_bill(BillKind::Trade, day(), text.as_bytes())?;
    match content.lines {
        BillLines::Trade(lines) => Ok((lines, content.summary)),
        BillLines::FundFlow(_) => panic!("a trade bill was asked for"),
    }
}

#[test]
fn payments_and_refunds_are_read_with_everything_that_people_type() {
    let (lines, summary) = trade(&bill(&[PAID, BACK])).unwrap();
    let [paid, back] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    assert_eq!(paid.at.to_string(), "2026-11-20T02:11:12.000000Z");
    assert_eq!(paid.sub_mchid.as_deref(), Some("1900000109"));
    assert_eq!((paid.settled_fen, paid.order_fen), (1280, Some(1280)));
    assert_eq!(paid.description, r#"茶,两杯 "大""#);
    assert_eq!(paid.attach, r#"{"a":1,"b":"x,y"}"#);
    assert_eq!(
        (paid.state.clone(), paid.refund.clone()),
        (TradeState::Success, None)
    );
    assert_eq!(
        (paid.fee_yuan.to_string(), paid.rate.as_str()),
        ("0.07680".to_owned(), "0.60%")
    );
    let refund = back.refund.as_ref().unwrap();
    assert_eq!(refund.out_refund_no, "R1");
    assert_eq!((refund.refund_fen, refund.asked_fen), (200, Some(200)));
    assert_eq!(refund.status, "PROCESSING");
    assert_eq!(back.fee_yuan.to_string(), "-0.01200");
    assert_eq!(summary.0.len(), 7);
    assert_eq!(
        summary.0[4],
        ("手续费总金额".to_owned(), "0.06480".to_owned())
    );
}

#[test]
fn a_name_with_backticks_and_commas_moves_no_amount() {
    for name in ["茶`", ",`", "`,`", "茶,`0.01,`SUCCESS", "a,`b,`c,`d", "`"] {
        let line = PAID.replace("茶,两杯 \"大\"", name);
        let (lines, _) = trade(&bill(&[&line, BACK])).unwrap();
        let paid = &lines[0];
        assert_eq!((paid.description.as_str(), paid.settled_fen), (name, 1280));
        assert_eq!(paid.fee_yuan.to_string(), "0.07680", "{name}");
        assert_eq!((paid.rate.as_str(), paid.order_fen), ("0.60%", Some(1280)));
        assert_eq!(paid.attach, r#"{"a":1,"b":"x,y"}"#);
        assert_eq!(lines[1].refund.as_ref().unwrap().refund_fen, 200);
    }
    let line = "`2026-11-20 23:59:59,`4200,`F1,`退款,`退款,`支出,`0.18,`-0.05,`1900000001API,`不要了,`真的,`V1";
    let lines = flow(line).unwrap();
    assert_eq!(
        (lines[0].remark.as_str(), lines[0].voucher.as_str()),
        ("不要了,`真的", "V1")
    );
    // Where no text can be, one value too many is one too many.
    let early = bill(&[PAID])
        .replace("设备号,", "")
        .replacen("`,`4200001", "`4200001", 1);
    assert!(trade(&early).is_ok());
    let more = bill(&[PAID]).replacen("`CNY", "`CNY,`CNY", 1);
    assert!(trade(&more).is_err());
}

#[test]
fn the_sums_are_held_against_the_lines() {
    let disagreements = |text: &str| {
        let content = parse_bill(BillKind::Trade, day(), text.as_bytes()).unwrap();
        let told = content.disagreements.into_iter();
        told.map(|one| one.column).collect::<Vec<_>>()
    };
    let whole = bill(&[PAID, BACK]);
    assert!(disagreements(&whole).is_empty());
    // Counts are written so, too.
    assert!(disagreements(&whole.replace("`2,`12.80", "`2.0,`12.80")).is_empty());
    let missing = bill(&[PAID]);
    let of_refunds = ["总交易单数", "退款总金额", "手续费总金额", "申请退款总金额"];
    assert_eq!(disagreements(&missing), of_refunds);
    let dearer = whole.replacen("`12.80,`0.00,`0,", "`12.81,`0.00,`0,", 1);
    assert_eq!(disagreements(&dearer), ["应结订单总金额"]);
    let strange = whole.replace("`0.06480,`12.80", "`none,`12.80");
    assert_eq!(disagreements(&strange), ["手续费总金额"]);
    let flow = |sums: &str| {
        let line = "`2026-11-20 23:59:59,`4200,`F1,`退款,`退款,`支出,`0.18,`-0.05,`API,`,`V1";
        let text = format!(
            "{FLOW}\n{line}\n{}\n{sums}\n",
            FLOW_SUMS.split_once("\r\n").unwrap().0
        );
        let content = parse_bill(BillKind::FundFlow, day(), text.as_bytes()).unwrap();
        content.disagreements.len()
    };
    assert_eq!(flow("`1.0,`0.0,`0.00,`1.0,`0.18"), 0);
    assert_eq!(flow("`2.0,`1.0,`0.10,`1.0,`0.18"), 3);
}

#[test]
fn marks_and_line_ends_do_not_matter() {
    let whole = bill(&[PAID, BACK]);
    let read = trade(&whole).unwrap();
    let plain = whole.trim_start_matches('\u{feff}').to_owned();
    for text in [
        plain.clone(),
        plain.replace("\r\n", "\n"),
        plain.replace("\r\n", "\n").trim_end().to_owned(),
        format!("{whole}\r\n\r\n"),
    ] {
        assert_eq!(trade(&text).unwrap(), read);
    }
    let (none, _) = trade(&format!("{ALL}\n{SUMS}")).unwrap();
    assert!(none.is_empty());
}

/// Columns in another order, with old names, without the youngest ones, with one that nobody knows.
#[test]
fn columns_are_found_by_name() {
    let names: Vec<_> = ALL.split(',').collect();
    let cells: Vec<_> = PAID.strip_prefix('`').unwrap().split(",`").collect();
    let old = |name: &str| match name {
        "应结订单金额" => "总金额".to_owned(),
        "代金券金额" => "企业红包金额".to_owned(),
        "特约商户号" => "子商户号".to_owned(),
        name => name.to_owned(),
    };
    let young = ["订单金额", "申请退款金额", "费率备注"];
    let mut header = vec!["新列".to_owned()];
    let mut line = vec!["?"];
    for (name, cell) in names.iter().zip(&cells).rev() {
        if !young.contains(name) {
            header.push(old(name));
            line.push(if *name == "特约商户号" {
                "0"
            } else {
                cell
            });
        }
    }
    let four = "总交易单数,应结订单总金额,手续费总金额,订单总金额\n`1,`12.80,`0.07680,`12.80\n";
    let text = format!("{}\n`{}\n{four}", header.join(","), line.join(",`"));
    let (lines, summary) = trade(&text).unwrap();
    assert_eq!((lines[0].settled_fen, lines[0].order_fen), (1280, None));
    assert_eq!((lines[0].sub_mchid.as_deref(), summary.0.len()), (None, 4));
}

#[test]
fn in_a_bill_of_refunds_a_refund_counts_when_it_was_asked_for() {
    let header = ALL.replacen("微信退款单号", "退款申请时间,退款成功时间,微信退款单号", 1);
    let line = BACK
        .replacen("`2026-11-20 12:00:00", "`2026-10-01 00:00:00", 1)
        .replacen("`5030", "`2026-11-20 12:00:01,`,`5030", 1);
    let (lines, _) = trade(&format!("{header}\n{line}\n{SUMS}")).unwrap();
    assert_eq!(lines[0].at.to_string(), "2026-11-20T04:00:01.000000Z");
}

#[test]
fn what_is_wrong_is_named_by_line_and_column() {
    let value = |line, column, expected| BillError::Value {
        line,
        column,
        expected,
    };
    let whole = bill(&[PAID, BACK]);
    for (text, error) in [
        (
            whole.replacen("`12.80,`0.00", "`12.8O,`0.00", 1),
            value(2, "应结订单金额", "an amount in yuan"),
        ),
        (
            whole.replacen("`12.80,`0.00", "`-12.80,`0.00", 1),
            value(2, "应结订单金额", "an amount in yuan"),
        ),
        (
            whole.replacen("`2.00,`0.00", "`two,`0.00", 1),
            value(3, "退款金额", "an amount in yuan"),
        ),
        (
            whole.replace("`5030", "`0"),
            value(3, "微信退款单号", "a number"),
        ),
        (
            whole.replace("`R1", "`"),
            value(3, "商户退款单号", "a number"),
        ),
        (
            whole.replace("-0.01200", "-0.0120O"),
            value(3, "手续费", "a fee in yuan"),
        ),
        (
            whole.replace("2026-11-20 12", "2026-11-17 12"),
            value(3, "交易时间", "a time of that day"),
        ),
        (
            whole.replace("2026-11-20 12", "2026-11-20T12"),
            value(3, "交易时间", "a time of that day"),
        ),
        (
            whole.replace("`4200001", "`"),
            value(2, "微信订单号", "a number"),
        ),
        (
            whole.replacen("`SUCCESS", "`", 1),
            value(2, "交易状态", "a state"),
        ),
        (
            whole.replacen("`JSAPI,", "", 1),
            BillError::Width {
                line: 2,
                found: 26,
                expected: 27,
            },
        ),
        (
            whole.replace("交易状态,", ""),
            BillError::NoColumn {
                line: 1,
                column: "交易状态",
            },
        ),
        (
            whole.replacen("设备号", "商户号", 1),
            BillError::Columns { line: 1 },
        ),
        (
            whole.replacen("设备号", "", 1),
            BillError::Columns { line: 1 },
        ),
        (
            whole.replace("总交易单数", "共计"),
            BillError::Misplaced { line: 4 },
        ),
        (
            whole.replace("`2,`12.80,`2.00", "`12.80,`2.00"),
            BillError::Width {
                line: 5,
                found: 6,
                expected: 7,
            },
        ),
        (format!("{whole}`more"), BillError::Misplaced { line: 6 }),
        (
            whole.replace("\r\n`2,", "\r\n2,"),
            BillError::Misplaced { line: 5 },
        ),
        (
            whole.replacen("\r\n`2026-11-20 12", "\r\n\r\n`2026-11-20 12", 1),
            BillError::Columns { line: 3 },
        ),
        (
            whole
                .split("总交易单数")
                .next()
                .unwrap()
                .trim_end()
                .to_owned(),
            BillError::Truncated { line: 3 },
        ),
        (
            whole
                .split("`2,`12.80")
                .next()
                .unwrap()
                .trim_end()
                .to_owned(),
            BillError::Truncated { line: 4 },
        ),
        (String::new(), BillError::Empty),
        ("\u{feff}\r\n".to_owned(), BillError::Empty),
        (
            r#"{"code":"NO_STATEMENT_EXIST"}"#.to_owned(),
            BillError::NoColumn {
                line: 1,
                column: "微信退款单号",
            },
        ),
    ] {
        let found = trade(&text).unwrap_err();
        if let (BillError::NoColumn { .. }, BillError::NoColumn { line: 1, .. }) = (&error, &found)
        {
            continue;
        }
        assert_eq!(found, error, "{text}");
    }
    let mut bytes = whole.into_bytes();
    let at = bytes.iter().rposition(|byte| *byte > 0x7f).unwrap();
    bytes[at] = 0xff;
    let found = parse_bill(BillKind::Trade, day(), &bytes).unwrap_err();
    assert_eq!(found, BillError::Encoding { line: 4 });
    assert_eq!(found.to_string(), "line 4 is not UTF-8");
}

const FLOW: &str = "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,业务凭证号";
const FLOW_SUMS: &str =
    "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额\r\n`20.0,`17.0,`0.35,`3.0,`0.18\r\n";

fn flow(line: &str) -> Result<Vec<FundLine>, BillError> {
    let text = format!("\u{feff}{FLOW}\r\n{line}\r\n{FLOW_SUMS}");
    match parse_bill(BillKind::FundFlow, day(), text.as_bytes())?.lines {
        BillLines::FundFlow(lines) => Ok(lines),
        BillLines::Trade(_) => panic!("a fund-flow bill was asked for"),
    }
}

#[test]
fn movements_have_a_sign() {
    let line = "`2026-11-20 23:59:59,`4200,`F1,`退款,`退款,`支出,`0.18,`-0.05,`1900000001API,`退款总金额0.18元;含手续费0.00元,`V,1";
    let lines = flow(line).unwrap();
    assert_eq!((lines[0].change_fen, lines[0].balance_fen), (-18, -5));
    assert_eq!(lines[0].voucher, "V,1");
    assert_eq!(
        flow(&line.replace("支出", "收入")).unwrap()[0].change_fen,
        18
    );
    for (text, instead, column) in [
        ("支出", "冻结", "收支类型"),
        ("`0.18", "`-0.18", "收支金额(元)"),
        ("`F1", "`", "资金流水单号"),
    ] {
        let error = flow(&line.replacen(text, instead, 1)).unwrap_err();
        assert!(
            matches!(error, BillError::Value { line: 2, column: its, .. } if its == column),
            "{error}"
        );
    }
    // One kind is not the other.
    let text = format!("{FLOW}\n{line}\n{FLOW_SUMS}");
    assert!(parse_bill(BillKind::Trade, day(), text.as_bytes()).is_err());
    let text = bill(&[PAID]);
    assert!(parse_bill(BillKind::FundFlow, day(), text.as_bytes()).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for kind in [BillKind::Trade, BillKind::FundFlow] {
            prop_assert!(parse_bill(kind, day(), &bytes).is_err());
        }
    }

    /// A bill with some bytes changed is refused or read, never worse; cut anywhere before its sums
    /// are whole, it is refused.
    #[test]
    fn damage_is_refused_or_harmless(at in 0_usize..2000, byte in any::<u8>(), cut in 0_usize..2000) {
        let whole = bill(&[PAID, BACK]).into_bytes();
        let mut damaged = whole.clone();
        let at = at % damaged.len();
        damaged[at] = byte;
        let _ = parse_bill(BillKind::Trade, day(), &damaged);
        // The sums' line has its last value from here on.
        let last_value = whole.len() - "2.00\r\n".len();
        let cut = cut % last_value;
        prop_assert!(parse_bill(BillKind::Trade, day(), &whole[..cut]).is_err());
    }

    /// Whatever a merchant calls its goods comes back, separators included, and no amount moves for
    /// it.
    #[test]
    fn free_text_comes_back(text in "[^\r\n]{0,60}", more in "([a,`]{0,8})", fen in 0_i64..10_000_000_000) {
        let text = format!("{text}{more}");
        let line = PAID
            .replace("茶,两杯 \"大\"", &text)
            .replace("`12.80,`0.00,`0,", &format!("`{}.{:02},`0.00,`0,", fen / 100, fen % 100));
        let (lines, _) = trade(&bill(&[&line])).unwrap();
        prop_assert_eq!(&lines[0].description, &text);
        prop_assert_eq!(lines[0].settled_fen, fen);
    }
}
