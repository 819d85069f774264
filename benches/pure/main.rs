//! What the service computes for a payment, without a database, Redis or the network: minutes show
//! whether a change made some part of it dearer. `./dev bench --pure` runs it;
//! `docs/performance.md` says how to read it.
//!
//! `cargo test --all-targets` runs each once and measures nothing.

#![expect(
    clippy::unwrap_used,
    reason = "a measuring program: it fails loudly, and nobody prints it"
)]

mod answers;
mod bill;
mod callback;
mod numbers;
mod risk;
#[path = "../throughput/rules.rs"]
mod rules;
mod settle;

use std::time::Duration;

use criterion::Criterion;

/// What the machine's noise allows to see, a twentieth or so, and all of it within two minutes.
fn criterion() -> Criterion {
    Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(40)
        .configure_from_args()
}

fn main() {
    let mut criterion = criterion();
    callback::measure(&mut criterion);
    settle::measure(&mut criterion);
    risk::measure(&mut criterion);
    bill::measure(&mut criterion);
    numbers::measure(&mut criterion);
    answers::measure(&mut criterion);
    criterion.final_summary();
}
