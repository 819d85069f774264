//! Answers as JSON: one payment as operators read it, a page of fifty, and what a phone pays by.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use zhangfang::{
    payments::{OrderWithMerchant, PayParameters, PaymentView},
    primitives::{Clock as _, SystemClock},
};

use super::settle::paid_order;

const PAGE: u64 = 50;

pub(crate) fn measure(criterion: &mut Criterion) {
    let payment = OrderWithMerchant {
        order: paid_order(SystemClock.now()),
        merchant_name: "老王面馆".to_owned(),
    };
    let parameters = PayParameters {
        time_stamp: "1795000000".to_owned(),
        nonce_str: "5K8264ILTKCH16CQ2502SI8ZNMTM67VS".to_owned(),
        package: "prepay_id=wx201410272009395522657a690389285100".to_owned(),
        sign_type: "RSA".to_owned(),
        pay_sign: "a".repeat(344),
    };
    let mut group = criterion.benchmark_group("json");
    group.bench_function("one_payment", |bencher| {
        bencher.iter(|| serde_json::to_vec(&PaymentView::from(black_box(&payment))).unwrap());
    });
    group.bench_function("pay_parameters", |bencher| {
        bencher.iter(|| serde_json::to_vec(black_box(&parameters)).unwrap());
    });
    group.throughput(Throughput::Elements(PAGE));
    group.bench_function("page_of_50_payments", |bencher| {
        let page: Vec<_> = (0..PAGE).map(|_| payment.clone()).collect();
        bencher.iter(|| {
            let views = black_box(&page).iter().map(PaymentView::from);
            serde_json::to_vec(&views.collect::<Vec<_>>()).unwrap()
        });
    });
    group.finish();
}
