//! The trade bill 交易账单: one line for each payment and one for each refund.
//!
//! Fees are rounded to the fen, as they are settled, and written with five decimals. A refund gives
//! back as much of the fee as the payment would cost less after it: so several refunds of one
//! payment give back what one would, to the fen. Everything is computed in fen and written in yuan
//! without floats. Format: pay.weixin.qq.com/doc/v3/partner/4012084430.

use time::OffsetDateTime;

use super::bill_file::{BillFile, bill_time};
use super::html::yuan;

/// Which lines a bill has; each has columns of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BillType {
    All,
    Success,
    Refund,
}

/// The refund in a line of one.
#[derive(Debug, Clone)]
pub(super) struct RefundPart {
    pub(super) refund_id: String,
    pub(super) out_refund_no: String,
    /// 申请退款金额.
    pub(super) refund_fen: i64,
    /// 退款金额: what the merchant gives of it.
    pub(super) settled_fen: i64,
    /// 充值券退款金额.
    pub(super) coupon_fen: i64,
    /// `SUCCESS`, `PROCESSING`, `FAIL` or `CHANGE`, as of the bill.
    pub(super) status: &'static str,
    pub(super) succeeded_at: Option<OffsetDateTime>,
}

/// One line.
#[derive(Debug, Clone)]
#[expect(clippy::struct_field_names, reason = "the names are WeChat's")]
pub(super) struct Trade {
    /// When it was paid, or the refund accepted.
    pub(super) at: OffsetDateTime,
    pub(super) app_id: String,
    pub(super) mchid: String,
    /// The merchant; in direct mode there is none.
    pub(super) sub_mchid: Option<String>,
    pub(super) transaction_id: String,
    pub(super) out_trade_no: String,
    pub(super) payer: String,
    pub(super) trade_type: &'static str,
    pub(super) total_fen: i64,
    /// 应结订单金额: what the merchant gets of it, before the fee.
    pub(super) settled_fen: i64,
    /// 代金券金额.
    pub(super) coupon_fen: i64,
    pub(super) description: String,
    pub(super) attach: String,
    /// Negative in the line of a refund.
    pub(super) fee_fen: i64,
    pub(super) fee_basis_points: u16,
    pub(super) refund: Option<RefundPart>,
}

impl Trade {
    fn settled_fen(&self) -> i64 {
        self.refund.as_ref().map_or(self.settled_fen, |_| 0)
    }

    fn order_fen(&self) -> i64 {
        self.refund.as_ref().map_or(self.total_fen, |_| 0)
    }

    fn coupon_fen(&self) -> i64 {
        self.refund.as_ref().map_or(self.coupon_fen, |_| 0)
    }

    fn asked_fen(&self) -> i64 {
        self.refund.as_ref().map_or(0, |refund| refund.refund_fen)
    }

    fn refund_fen(&self) -> i64 {
        self.refund.as_ref().map_or(0, |refund| refund.settled_fen)
    }

    fn coupon_refund_fen(&self) -> i64 {
        self.refund.as_ref().map_or(0, |refund| refund.coupon_fen)
    }

    /// What a refund says, or what stands in its place.
    fn of_refund(&self, value: fn(&RefundPart) -> String, none: &str) -> String {
        self.refund.as_ref().map_or_else(|| none.to_owned(), value)
    }
}

/// A column: its name, its name in an early bill, and its value.
type Column = (&'static str, &'static str, fn(&Trade) -> String);

const AT: Column = ("交易时间", "交易时间", |t| bill_time(t.at));
const PAID: [Column; 13] = [
    ("公众账号ID", "公众账号ID", |t| t.app_id.clone()),
    ("商户号", "商户号", |t| t.mchid.clone()),
    ("特约商户号", "子商户号", |t| {
        t.sub_mchid.clone().unwrap_or_else(|| "0".to_owned())
    }),
    ("设备号", "设备号", |_| String::new()),
    ("微信订单号", "微信订单号", |t| {
        t.transaction_id.clone()
    }),
    ("商户订单号", "商户订单号", |t| {
        t.out_trade_no.clone()
    }),
    ("用户标识", "用户标识", |t| t.payer.clone()),
    ("交易类型", "交易类型", |t| t.trade_type.to_owned()),
    ("交易状态", "交易状态", |t| {
        t.of_refund(|_| "REFUND".to_owned(), "SUCCESS")
    }),
    ("付款银行", "付款银行", |_| "OTHERS".to_owned()),
    ("货币种类", "货币种类", |_| "CNY".to_owned()),
    ("应结订单金额", "总金额", |t| yuan(t.settled_fen())),
    ("代金券金额", "企业红包金额", |t| {
        yuan(t.coupon_fen())
    }),
];
const REFUND_TIMES: [Column; 2] = [
    ("退款申请时间", "退款申请时间", |t| {
        bill_time(t.at)
    }),
    ("退款成功时间", "退款成功时间", |t| {
        let refund = t.refund.as_ref();
        let at = refund.and_then(|refund| refund.succeeded_at);
        at.map_or_else(String::new, bill_time)
    }),
];
const REFUND: [Column; 6] = [
    ("微信退款单号", "微信退款单号", |t| {
        t.of_refund(|r| r.refund_id.clone(), "0")
    }),
    ("商户退款单号", "商户退款单号", |t| {
        t.of_refund(|r| r.out_refund_no.clone(), "0")
    }),
    ("退款金额", "退款金额", |t| yuan(t.refund_fen())),
    ("充值券退款金额", "充值券退款金额", |t| {
        yuan(t.coupon_refund_fen())
    }),
    ("退款类型", "退款类型", |t| {
        t.of_refund(|_| "ORIGINAL".to_owned(), "")
    }),
    ("退款状态", "退款状态", |t| {
        t.of_refund(|r| r.status.to_owned(), "")
    }),
];
const TEXTS: [Column; 4] = [
    ("商品名称", "商品名称", |t| t.description.clone()),
    ("商户数据包", "商户数据包", |t| t.attach.clone()),
    ("手续费", "手续费", |t| fee(t.fee_fen)),
    ("费率", "费率", |t| rate(t.fee_basis_points)),
];
const ORDER_TOTAL: Column = ("订单金额", "", |t| yuan(t.order_fen()));
const ASKED_REFUND: Column = ("申请退款金额", "", |t| yuan(t.asked_fen()));
const REMARK: Column = ("费率备注", "", |_| String::new());

/// The columns from left to right. Early bills end with the rate.
fn columns(bill_type: BillType, early: bool) -> Vec<Column> {
    let mut columns = vec![AT];
    columns.extend(PAID);
    let last: &[Column] = match bill_type {
        BillType::All => {
            columns.extend(REFUND);
            &[ORDER_TOTAL, ASKED_REFUND, REMARK]
        }
        BillType::Success => &[ORDER_TOTAL, REMARK],
        BillType::Refund => {
            columns.extend(REFUND_TIMES);
            columns.extend(REFUND);
            &[ORDER_TOTAL, ASKED_REFUND, REMARK]
        }
    };
    columns.extend(TEXTS);
    if !early {
        columns.extend(last);
    }
    columns
}

/// The file. `trades` are the lines of that type, oldest first.
pub(super) fn write(bill_type: BillType, early: bool, trades: &[Trade]) -> Vec<u8> {
    let mut file = BillFile::new();
    let columns = columns(bill_type, early);
    file.header(
        columns
            .iter()
            .map(|(now, once, _)| if early { once } else { now })
            .copied(),
    );
    for trade in trades {
        file.line(columns.iter().map(|(_, _, value)| value(trade)));
    }
    let sum = |of: fn(&Trade) -> i64| {
        let add = |sum: i64, trade| sum.saturating_add(of(trade));
        trades.iter().fold(0, add)
    };
    let settled = yuan(sum(Trade::settled_fen));
    let fees = fee(sum(|trade| trade.fee_fen));
    let refunds = yuan(sum(Trade::refund_fen));
    let orders = yuan(sum(Trade::order_fen));
    let asked = yuan(sum(Trade::asked_fen));
    let coupons = yuan(sum(Trade::coupon_refund_fen));
    let count = trades.len().to_string();
    let summary = match (bill_type, early) {
        (BillType::Success, false) => vec![
            ("总交易单数", count),
            ("应结订单总金额", settled),
            ("手续费总金额", fees),
            ("订单总金额", orders),
        ],
        (BillType::All | BillType::Refund, false) => vec![
            ("总交易单数", count),
            ("应结订单总金额", settled),
            ("退款总金额", refunds),
            ("充值券退款总金额", coupons),
            ("手续费总金额", fees),
            ("订单总金额", orders),
            ("申请退款总金额", asked),
        ],
        (BillType::All | BillType::Success | BillType::Refund, true) => vec![
            ("总交易单数", count),
            ("总交易额", settled),
            ("总退款金额", refunds),
            ("总企业红包退款金额", coupons),
            ("手续费总金额", fees),
        ],
    };
    file.header(summary.iter().map(|(name, _)| *name));
    file.line(summary.into_iter().map(|(_, value)| value));
    file.into_bytes()
}

/// Yuan with five decimals, of which the last three are never anything but zero.
fn fee(fen: i64) -> String {
    format!("{}000", yuan(fen))
}

/// `0.60%`.
fn rate(basis_points: u16) -> String {
    format!("{}.{:02}%", basis_points / 100, basis_points % 100)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn payment() -> Trade {
        Trade {
            at: datetime!(2026-11-21 04:00:05 UTC),
            app_id: "wx1".to_owned(),
            mchid: "1900000001".to_owned(),
            sub_mchid: Some("1900000109".to_owned()),
            transaction_id: "4200".to_owned(),
            out_trade_no: "ORDER-1".to_owned(),
            payer: "oA".to_owned(),
            trade_type: "JSAPI",
            total_fen: 1280,
            settled_fen: 1280,
            coupon_fen: 0,
            description: "面, \"大\"".to_owned(),
            attach: r#"{"table":4,"x":[1,2]}"#.to_owned(),
            fee_fen: 8,
            fee_basis_points: 60,
            refund: None,
        }
    }

    fn refund() -> Trade {
        Trade {
            at: datetime!(2026-11-21 05:00:05 UTC),
            fee_fen: -8,
            refund: Some(RefundPart {
                refund_id: "5000".to_owned(),
                out_refund_no: "R-1".to_owned(),
                refund_fen: 1280,
                settled_fen: 1280,
                coupon_fen: 0,
                status: "PROCESSING",
                succeeded_at: None,
            }),
            ..payment()
        }
    }

    fn lines(bill_type: BillType, early: bool, trades: &[Trade]) -> Vec<String> {
        let text = String::from_utf8(write(bill_type, early, trades)).unwrap();
        let text = text.strip_prefix('\u{feff}').unwrap();
        text.strip_suffix("\r\n")
            .unwrap()
            .split("\r\n")
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn a_bill_of_everything_is_written_to_the_letter() {
        let lines = lines(BillType::All, false, &[payment(), refund()]);
        let text = "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,\
            交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,\
            退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,\
            申请退款金额,费率备注";
        assert_eq!(lines[0], text);
        assert_eq!(
            lines[1],
            "`2026-11-21 12:00:05,`wx1,`1900000001,`1900000109,`,`4200,`ORDER-1,`oA,`JSAPI,`SUCCESS,\
             `OTHERS,`CNY,`12.80,`0.00,`0,`0,`0.00,`0.00,`,`,`面, \"大\",`{\"table\":4,\"x\":[1,2]},\
             `0.08000,`0.60%,`12.80,`0.00,`"
        );
        assert_eq!(
            lines[2],
            "`2026-11-21 13:00:05,`wx1,`1900000001,`1900000109,`,`4200,`ORDER-1,`oA,`JSAPI,`REFUND,\
             `OTHERS,`CNY,`0.00,`0.00,`5000,`R-1,`12.80,`0.00,`ORIGINAL,`PROCESSING,`面, \"大\",\
             `{\"table\":4,\"x\":[1,2]},`-0.08000,`0.60%,`0.00,`12.80,`"
        );
        let text = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,\
            申请退款总金额";
        assert_eq!(lines[3], text);
        assert_eq!(lines[4], "`2,`12.80,`12.80,`0.00,`0.00000,`12.80,`12.80");
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn every_type_has_its_columns_and_every_line_as_many() {
        let payment = Trade {
            sub_mchid: None,
            ..payment()
        };
        let cases = [
            (BillType::All, false, &payment, 27, 7),
            (BillType::Success, false, &payment, 20, 4),
            (BillType::Refund, false, &refund(), 29, 7),
            (BillType::All, true, &payment, 24, 5),
        ];
        for (bill_type, early, trade, columns, summary) in cases {
            let lines = lines(bill_type, early, std::slice::from_ref(trade));
            assert_eq!(lines[0].split(',').count(), columns, "{bill_type:?}");
            assert_eq!(lines[1].split(",`").count(), columns, "{bill_type:?}");
            assert_eq!(lines[2].split(',').count(), summary, "{bill_type:?}");
            assert_eq!(lines[3].split(",`").count(), summary, "{bill_type:?}");
            assert_eq!(lines[0].contains("应结订单金额"), !early);
            assert_eq!(lines[0].contains("子商户号"), early);
        }
        let refunds = lines(BillType::Refund, false, &[refund()]);
        assert!(
            refunds[1].contains(",`2026-11-21 13:00:05,`,`5000,"),
            "{}",
            refunds[1]
        );
        let direct = lines(BillType::All, false, &[payment]);
        assert!(direct[1].contains(",`1900000001,`0,`,"));
    }
}
