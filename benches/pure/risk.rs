//! Decisions by rules whose numbers are there.

use std::hint::black_box;

use criterion::Criterion;
use zhangfang::{
    facts::Stage,
    primitives::{Clock as _, SystemClock},
    risk::{CounterValues, RuleSet},
};

use super::rules;

pub(crate) fn measure(criterion: &mut Criterion) {
    let now = SystemClock.now();
    let mut group = criterion.benchmark_group("risk");
    for (name, text, stage) in [
        (
            "decide_create_by_the_file",
            rules::of_the_project(),
            Stage::PaymentCreate,
        ),
        (
            "decide_credit_by_the_file",
            rules::of_the_project(),
            Stage::PointsCredit,
        ),
        (
            "decide_credit_by_thirty_rules",
            rules::thirty(),
            Stage::PointsCredit,
        ),
    ] {
        let set = RuleSet::parse(&text).unwrap();
        let facts = rules::facts(stage, 1, now);
        let numbers = counted_once(&set, stage);
        group.bench_function(name, |bencher| {
            bencher.iter(|| set.evaluate(1, black_box(&facts), black_box(&numbers), None));
        });
    }
    group.bench_function("read_the_file", |bencher| {
        let text = rules::of_the_project();
        bencher.iter(|| RuleSet::parse(black_box(&text)).unwrap());
    });
    group.finish();
}

/// What the counters of a stage say when everything has happened once.
pub(crate) fn counted_once(rules: &RuleSet, stage: Stage) -> CounterValues {
    let read = rules.counter_usages(stage).into_iter();
    CounterValues(vec![Some(1); read.filter(|usage| usage.read).count()])
}
