//! What is read and written for nearly every request: an order's number, who the caller is.

use std::hint::black_box;

use criterion::Criterion;
use zhangfang::{
    auth::{Principal, Tokens},
    primitives::{Clock as _, CustomerId, Id, Lane, OrderId, OrderNo, SystemClock, TenantId},
};

pub(crate) fn measure(criterion: &mut Criterion) {
    let id = Id::mint(1_795_000_000_000, 0x0123_4567_89ab_cdef, Lane(7));
    let number = OrderNo::from(OrderId::new(id));
    let text = number.to_string();
    let mut group = criterion.benchmark_group("order_no");
    group.bench_function("write", |bencher| {
        bencher.iter(|| black_box(number).to_string());
    });
    group.bench_function("read", |bencher| {
        bencher.iter(|| black_box(&text).parse::<OrderNo>().unwrap());
    });
    group.finish();

    let tokens = Tokens::new(b"the secret of a benchmark, forty characters", 3_600);
    let principal = Principal::Customer {
        tenant: TenantId(1),
        id: CustomerId::new(id),
    };
    let now = SystemClock.now();
    let token = tokens.issue(&principal, now).text;
    let mut group = criterion.benchmark_group("access_token");
    group.bench_function("verify", |bencher| {
        bencher.iter(|| tokens.verify(black_box(&token), now).unwrap());
    });
    group.finish();
}
