//! A day's bill of trades, which is read line by line.

use std::{fmt::Write as _, hint::black_box};

use criterion::{Criterion, Throughput};
use zhangfang::{
    payments::{BillKind, BillLines},
    primitives::BusinessDay,
    wechat::parse_bill,
};

const LINES: usize = 1_000;

pub(crate) fn measure(criterion: &mut Criterion) {
    let (bill, day) = (bill(), BusinessDay::parse("2026-11-20").unwrap());
    let read = |bytes: &[u8]| parse_bill(BillKind::Trade, day, bytes).unwrap();
    let content = read(bill.as_bytes());
    assert!(matches!(&content.lines, BillLines::Trade(lines) if lines.len() == LINES));
    assert!(
        content.disagreements.is_empty(),
        "{:?}",
        content.disagreements
    );

    let mut group = criterion.benchmark_group("bill");
    group.throughput(Throughput::Elements(u64::try_from(LINES).unwrap()));
    group.bench_function("read_1000_trades", |bencher| {
        bencher.iter(|| read(black_box(bill.as_bytes())));
    });
    group.finish();
}

/// Payments of ¥10.00, all alike but for their numbers.
fn bill() -> String {
    let mut text = String::from(
        "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,\
         应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,\
         手续费,费率,订单金额,申请退款金额,费率备注\r\n",
    );
    for number in 0..LINES {
        write!(
            text,
            "`2026-11-20 10:34:56,`wx0123456789abcdef,`1900000001,`1900000109,`,`42000000{number:020},`{number:024},\
             `oUpF8uMuAJO_M2pxb1Q9zNjWeS6o,`JSAPI,`SUCCESS,`OTHERS,`CNY,`10.00,`0.00,`0,`0,`0.00,`0.00,`,`,`茶,`,\
             `0.06000,`0.60%,`10.00,`0.00,`\r\n"
        )
        .unwrap();
    }
    text.push_str("总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n");
    write!(
        text,
        "`{LINES},`{LINES}0.00,`0.00,`0.00,`60.00000,`{LINES}0.00,`0.00\r\n"
    )
    .unwrap();
    text
}
