//! The service from outside: through HTTP, against a real MySQL or MariaDB, a real Redis and a
//! WeChat that misbehaves.
//!
//! `./dev test` starts the servers. Each test has a database of its own, in which the service has
//! the rights that it has in production and no more, and ends with [`TestApp::finish`], which
//! audits the books.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use mimalloc::MiMalloc;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

mod harness;

mod access_token;
mod batch;
mod callbacks;
mod caps;
mod clock;
mod connections;
mod contract;
mod coupons;
mod crash;
mod deliveries;
mod document;
mod examples;
mod expiry;
mod flow;
mod foreign;
mod histories;
mod ledger;
mod life;
mod limits;
mod liveness;
mod merchants;
mod mini_program;
mod model;
mod operators;
mod outages;
mod papers;
mod points_damage;
mod points_rules;
mod points_transactions;
mod refund_answers;
mod refund_core;
mod refunds;
mod reviews;
mod rights;
mod risk;
mod risk_end_to_end;
mod risk_stages;
mod sdk;
mod searches;
mod sharing;
mod snapshot;
mod stuck;
mod suspension;
mod tables;
mod verification;
mod wechat_channel;
mod withdraw;
mod words;
