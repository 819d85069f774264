//! Operations a second, with every commit on disk. `./dev bench` starts fresh servers for it;
//! `./dev bench --help` says what it measures.
//!
//! Load generator, service and database share the machine, and everything is measured in one run,
//! so that ratios mean something on a machine whose speed drifts.

#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::semicolon_if_nothing_returned,
    clippy::float_arithmetic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a measuring program: it fails loudly, computes with floats and prints"
)]

mod baseline;
mod ceiling;
mod cpu;
mod decide;
mod expire;
mod load;
mod report;
mod stage;

use clap::Parser;
use report::Report;
use stage::{Rules, Stage};

/// How many orders each measurement gets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) settle: [(usize, usize); 3],
    /// Connections and orders of each of six rounds: without risk, with the project's rules, with
    /// thirty numbers; and once more.
    pub(crate) risk: (usize, usize),
    /// Decisions in flight, and how many are made.
    pub(crate) ask: [(usize, usize); 2],
    pub(crate) hot: (usize, usize),
    pub(crate) create: [(usize, usize); 3],
    pub(crate) balance: [(usize, usize); 3],
    pub(crate) per_request: usize,
    pub(crate) ceiling: usize,
    /// Lots, and orders of each of two measurements.
    pub(crate) expire: (usize, usize),
}

impl Plan {
    const FULL: Self = Self {
        settle: [(1, 4_000), (64, 60_000), (512, 100_000)],
        risk: (512, 40_000),
        ask: [(1, 10_000), (64, 100_000)],
        hot: (512, 100_000),
        create: [(1, 500), (64, 6_000), (512, 8_000)],
        balance: [(1, 5_000), (64, 100_000), (512, 100_000)],
        per_request: 12_000,
        ceiling: 100_000,
        expire: (1_000_000, 60_000),
    };
    const QUICK: Self = Self {
        settle: [(1, 1_500), (64, 20_000), (512, 30_000)],
        risk: (512, 15_000),
        ask: [(1, 3_000), (64, 30_000)],
        hot: (512, 30_000),
        create: [(1, 300), (64, 2_500), (512, 2_500)],
        balance: [(1, 2_000), (64, 30_000), (512, 30_000)],
        per_request: 5_000,
        ceiling: 40_000,
        expire: (50_000, 20_000),
    };

    fn orders(&self) -> usize {
        self.settle.iter().map(|(_, orders)| orders).sum::<usize>() + self.hot.1
    }
}

/// Measures, at full durability and in one run:
///
/// `settle_http`: WeChat's callbacks through HTTP (signature, decryption, everything), distinct
/// orders of 10 merchants, at 1, 64 and 512 connections.
/// `settle_http_one_merchant`: the same, all orders of one merchant.
/// `risk_off`, `risk_file`, `risk_thirty`: `settle_http` without risk, with the rules of
/// risk-rules.yaml, and with thirty rules each of which asks for a number of its own, in turns, the
/// service started anew for each.
/// `risk_decide_create`, `risk_decide_credit`, `risk_decide_thirty`: decisions alone, one after the
/// other, by the file (before a payment, before its points) and by the thirty: what the service
/// computes. `risk_ask_create`, `risk_ask_credit`, `risk_ask_thirty`: the same with their numbers
/// from Redis, in one round trip, so many at a time; "service" is then the benchmark itself.
/// `create_payment_http`: order, prepay answered by the simulator on the same machine (three RSA
/// signatures each), signed parameters.
/// `balance_http`: reading a customer's points.
/// `settle_per_request_tx`: the same rows as an ordinary transaction for each request, without
/// HTTP, at its best concurrency.
/// `expire_settle_alone`, `expire_settle_beside`: callbacks as above at 64 connections, without and
/// with the points of a million customers expiring meanwhile;
/// `expire_lots_beside`, `expire_lots_alone`: lots that expire a second, with and without payments.
/// `settle_raw_sql_ceiling`: the same rows by multi-row SQL that is written beforehand, without a
/// service.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
struct Arguments {
    /// Fewer orders: ends within three minutes.
    #[arg(long)]
    quick: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Only measurements whose name begins so; may be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// cargo bench says this.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let plan = if arguments.quick {
        Plan::QUICK
    } else {
        Plan::FULL
    };
    let wanted = |name: &str| {
        arguments.only.is_empty()
            || arguments
                .only
                .iter()
                .any(|only| name.starts_with(only.as_str()))
    };
    let mut report = Report::new(arguments.json);

    if wanted("risk_decide") {
        decide::compute(&mut report);
    }
    if wanted("risk_ask") {
        for (in_flight, activities) in plan.ask {
            decide::evaluate(activities, in_flight, &mut report).await;
        }
    }
    let of_risk: Vec<(&str, Rules)> = [
        ("risk_off", Rules::None),
        ("risk_file", Rules::OfTheProject),
        ("risk_thirty", Rules::Thirty),
    ]
    .into_iter()
    .filter(|(name, _)| wanted(name))
    .collect();
    if !of_risk.is_empty() {
        let (connections, orders) = plan.risk;
        let rounds = 2 * of_risk.len();
        let mut stage = Stage::set(rounds * orders).await;
        for (round, (name, rules)) in of_risk.into_iter().cycle().take(rounds).enumerate() {
            stage.restart(rules).await;
            let of_round = round * orders..(round + 1) * orders;
            report.add(name, &stage.settle(of_round, connections).await);
        }
        stage.strike().await;
    }
    if wanted("settle_http") || wanted("create_payment_http") || wanted("balance_http") {
        let stage = Stage::set(if wanted("settle_http") {
            plan.orders()
        } else {
            0
        })
        .await;
        // Reads first: the server comes to rest after the orders were made.
        if wanted("balance_http") {
            for (connections, requests) in plan.balance {
                report.add("balance_http", &stage.balance(requests, connections).await);
            }
        }
        if wanted("settle_http") {
            let mut from = 0;
            for (connections, orders) in plan.settle {
                report.add(
                    "settle_http",
                    &stage.settle(from..from + orders, connections).await,
                );
                from += orders;
            }
            let (connections, orders) = plan.hot;
            report.add(
                "settle_http_one_merchant",
                &stage.settle(from..from + orders, connections).await,
            );
        }
        if wanted("create_payment_http") {
            for (round, (connections, requests)) in plan.create.into_iter().enumerate() {
                report.add(
                    "create_payment_http",
                    &stage.create(round, requests, connections).await,
                );
            }
        }
        stage.strike().await;
    }
    if wanted("settle_per_request_tx") {
        for connections in [1, 16, 64] {
            let orders = if connections == 1 {
                plan.per_request / 5
            } else {
                plan.per_request
            };
            report.add(
                "settle_per_request_tx",
                &baseline::measure(orders, connections).await,
            );
        }
    }
    if wanted("settle_raw_sql_ceiling") {
        report.add(
            "settle_raw_sql_ceiling",
            &ceiling::measure(plan.ceiling).await,
        );
    }
    if wanted("expire") {
        let (lots, orders) = plan.expire;
        Box::pin(expire::measure(lots, orders, &mut report)).await;
    }
    report.finish();
}
