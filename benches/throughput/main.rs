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
mod bytes;
mod ceiling;
mod cpu;
mod decide;
mod expire;
mod load;
mod memory;
mod overload;
mod report;
mod rules;
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
    pub(crate) connections: [(usize, usize); 6],
    /// Orders before the overload, and offered in it.
    pub(crate) overload: (usize, usize),
    /// Balances read, payments made, payments settled.
    pub(crate) memory: (usize, usize, usize),
    pub(crate) users: usize,
    pub(crate) bytes: usize,
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
        connections: [
            (1, 3_000),
            (8, 15_000),
            (64, 40_000),
            (256, 60_000),
            (512, 60_000),
            (1_024, 60_000),
        ],
        overload: (60_000, 180_000),
        memory: (100_000, 8_000, 60_000),
        users: memory::USERS,
        bytes: 100_000,
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
        connections: [
            (1, 600),
            (8, 4_000),
            (64, 10_000),
            (256, 12_000),
            (512, 15_000),
            (1_024, 15_000),
        ],
        overload: (15_000, 60_000),
        memory: (20_000, 2_000, 15_000),
        users: memory::USERS,
        bytes: 20_000,
    };
    /// Not to measure anything.
    const TINY: Self = Self {
        settle: [(1, 20), (8, 100), (16, 200)],
        risk: (8, 50),
        ask: [(1, 50), (8, 100)],
        hot: (8, 100),
        create: [(1, 5), (4, 20), (8, 20)],
        balance: [(1, 20), (8, 100), (16, 100)],
        per_request: 100,
        ceiling: 1_000,
        expire: (1_000, 200),
        connections: [(1, 10), (2, 50), (4, 50), (8, 100), (16, 100), (600, 1_200)],
        overload: (300, 8_000),
        memory: (600, 60, 300),
        users: 300,
        bytes: 500,
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
/// `risk_ask_create`, `risk_ask_credit`, `risk_ask_thirty`: decisions alone, by the file (before a
/// payment, before its points) and by the thirty, with their numbers from Redis, in one round trip,
/// so many at a time; "service" is then the benchmark itself.
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
///
/// With --quick only when --only names them:
///
/// `connections_settle_http`: callbacks of ten merchants at 1, 8, 64, 256, 512 and 1,024 connections.
/// `overload_before`, `overload_settled`, `overload_refused`, `overload_goodput`: callbacks at 512
/// connections; then three times that rate, whether or not the service keeps up: what it settled of
/// it, what it refused, and how soon.
/// `memory_at_rest`, `memory_most`, `memory_afterwards`: what the service has in memory while a
/// thousand connections read balances, make payments and pay, each kind of request at a time.
/// `bytes_tables`, `bytes_redo`, `bytes_binlog`: what one payment leaves behind over its life, and of
/// this when it is made (`bytes_make_…`) and settled (`bytes_settle_…`).
///
/// Each process's use of the processors is told by itself: "generator" sends the load, "simulator"
/// is WeChat, and neither is the service's. Callbacks are signed before the clock starts.
///
/// What the service computes without a server is measured by ./dev bench --pure.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
struct Arguments {
    /// Fewer orders: ends within three minutes.
    #[arg(long)]
    quick: bool,
    /// A few orders, to see that everything works: the figures mean nothing.
    #[arg(long, conflicts_with = "quick")]
    tiny: bool,
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
    if !arguments.bench {
        // `cargo test --all-targets` starts it, too.
        eprintln!("nothing is measured: run this with ./dev bench");
        return;
    }
    let plan = match (arguments.quick, arguments.tiny) {
        (true, _) => Plan::QUICK,
        (_, true) => Plan::TINY,
        (false, false) => Plan::FULL,
    };
    let named = |name: &str| {
        let mut only = arguments.only.iter();
        only.any(|only| name.starts_with(only.as_str()))
    };
    let wanted = |name: &str| arguments.only.is_empty() || named(name);
    let proof = |name: &str| (wanted(name) && !arguments.quick) || named(name);
    let mut report = Report::new(arguments.json);

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
        let stage = if wanted("settle_http") {
            Stage::set_hot(plan.orders(), plan.hot.1).await
        } else {
            Stage::set(0).await
        };
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
    if proof("connections") {
        let orders = plan.connections.iter().map(|(_, orders)| orders);
        let stage = Stage::set(orders.sum()).await;
        let mut from = 0;
        for (connections, orders) in plan.connections {
            let settled = stage.settle(from..from + orders, connections).await;
            report.add("connections_settle_http", &settled);
            from += orders;
        }
        stage.strike().await;
    }
    if proof("overload") {
        Box::pin(overload::measure(plan.overload, &mut report)).await;
    }
    if proof("memory") {
        Box::pin(memory::measure(plan.memory, plan.users, &mut report)).await;
    }
    if proof("bytes") {
        Box::pin(bytes::measure(plan.bytes, &mut report)).await;
    }
    report.finish();
}
