//! The fund-flow bill 资金账单: every movement on the merchant's own account.
//!
//! In partner mode payments settle straight to the merchants; what moves here is what merchants
//! share with the service provider and what it gives back. In direct mode the payments, their fees
//! and refunds are here too. The balance counts from the first movement that the simulator still
//! knows.

use time::{Date, OffsetDateTime};

use super::bill_file::{BillFile, bill_day, bill_time};
use super::clock::compact;
use super::html::yuan;

/// One movement; what came in is positive.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    pub(super) at: OffsetDateTime,
    /// WeChat's number of the payment, refund, share or return.
    pub(super) wechat_number: String,
    pub(super) business: &'static str,
    pub(super) amount_fen: i64,
    pub(super) remark: String,
    /// The merchant's number of the same.
    pub(super) voucher: String,
}

const COLUMNS: [&str; 11] = [
    "记账时间",
    "微信支付业务单号",
    "资金流水单号",
    "业务名称",
    "业务类型",
    "收支类型",
    "收支金额(元)",
    "账户结余(元)",
    "资金变更提交申请人",
    "备注",
    "业务凭证号",
];
const SUMMARY: [&str; 5] = [
    "资金流水总笔数",
    "收入笔数",
    "收入金额",
    "支出笔数",
    "支出金额",
];

/// The bill of `day` out of all movements, in any order; `None` if there were none on that day.
pub(super) fn write(mchid: &str, day: Date, mut flows: Vec<Flow>) -> Option<Vec<u8>> {
    flows.sort_by(|a, b| (a.at, &a.wechat_number).cmp(&(b.at, &b.wechat_number)));
    let mut file = BillFile::new();
    file.header(COLUMNS);
    let (mut balance_fen, mut number) = (0_i64, 0_u64);
    let (mut came, mut came_fen, mut went, mut went_fen) = (0_u64, 0_i64, 0_u64, 0_i64);
    for flow in flows {
        balance_fen = balance_fen.saturating_add(flow.amount_fen);
        number += 1;
        if bill_day(flow.at) != day {
            continue;
        }
        let size_fen = flow.amount_fen.saturating_abs();
        let direction = if flow.amount_fen < 0 {
            went += 1;
            went_fen = went_fen.saturating_add(size_fen);
            "支出"
        } else {
            came += 1;
            came_fen = came_fen.saturating_add(size_fen);
            "收入"
        };
        file.line([
            bill_time(flow.at),
            flow.wechat_number,
            format!("{mchid}{}{number:010}", &compact(flow.at)[..8]),
            flow.business.to_owned(),
            flow.business.to_owned(),
            direction.to_owned(),
            yuan(size_fen),
            yuan(balance_fen),
            "system".to_owned(),
            flow.remark,
            flow.voucher,
        ]);
    }
    if came + went == 0 {
        return None;
    }
    file.header(SUMMARY);
    file.line([
        (came + went).to_string(),
        came.to_string(),
        yuan(came_fen),
        went.to_string(),
        yuan(went_fen),
    ]);
    Some(file.into_bytes())
}

#[cfg(test)]
mod tests {
    use time::macros::{date, datetime};

    use super::*;

    #[test]
    fn the_balance_runs_on_from_earlier_days() {
        let flow = |at, amount_fen, remark: &str| Flow {
            at,
            wechat_number: "4200".to_owned(),
            business: "分账",
            amount_fen,
            remark: remark.to_owned(),
            voucher: "S-1".to_owned(),
        };
        let flows = vec![
            flow(datetime!(2026-11-21 03:00:00 UTC), -30, "a,\nb"),
            flow(datetime!(2026-11-20 03:00:00 UTC), 100, ""),
        ];
        let bill = write("1900000001", date!(2026 - 11 - 21), flows.clone()).unwrap();
        let text = String::from_utf8(bill).unwrap();
        let lines: Vec<_> = text.split("\r\n").collect();
        assert!(lines[0].ends_with("资金变更提交申请人,备注,业务凭证号"));
        assert_eq!(
            lines[1],
            "`2026-11-21 11:00:00,`4200,`1900000001202611210000000002,`分账,`分账,`支出,`0.30,\
             `0.70,`system,`a,\\nb,`S-1"
        );
        assert_eq!(lines[3], "`1,`0,`0.00,`1,`0.30");
        assert!(write("1", date!(2026 - 11 - 22), flows).is_none());
    }
}
