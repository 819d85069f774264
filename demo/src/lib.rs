//! A visible day: customers, merchants and an admin against a running instance, over HTTP, while
//! WeChat misbehaves.
//!
//! | | |
//! |---|---|
//! | `tenant` | the tenant, its rule, merchants and codes: made once |
//! | `plan` | who is going to pay what, from the seed |
//! | `world` | where it happens: the service, WeChat, customers and operators |
//! | `visit`, `payment`, `day` | one payment, and all of them |
//! | `refund_seen`, `refund`, `afterwards` | money that goes back, and what takes its time |
//! | `desk` | the tenant's policy, and what its operators look at |
//! | `service`, `office`, `answer`, `wechat`, `patience` | the two other sides, and what happens when they do not answer |
//! | `books` | what the service says before and after |
//! | `day_record`, `summary`, `points`, `returns`, `check`, `checks`, `tables` | the two accounts side by side, what must agree, and how it is shown |
//! | `scenes` | afterwards: what risk stops, asks and holds, and what becomes of points |
//! | `run` | all of it in its order |
//!
//! It knows nothing of the service's inside but the settings: what it sees, a mini-program could
//! see. That is why it can be trusted when it says that every fen arrived. The one exception is the
//! tenant, for which there is no HTTP, and the verification at the end, which reads the database.
//!
//! Of the library `zhangfang` it uses the settings, tokens (an operator signs one at the command
//! line), the value types of `primitives` and the words of the points rules, and what
//! `zhangfang::cli` has for programs beside it; of `wechat_pay_simulator` the names of the faults.

mod afterwards;
mod answer;
mod books;
mod check;
mod checks;
mod day;
mod day_record;
mod desk;
mod measure;
mod office;
mod patience;
mod payment;
mod plan;
mod points;
mod progress;
mod refund;
mod refund_seen;
mod returns;
mod run;
mod scenes;
mod service;
mod summary;
mod tables;
mod tenant;
mod visit;
mod wechat;
mod world;

use std::path::PathBuf;

use clap::{Parser, builder::RangedU64ValueParser};
use url::Url;

use self::wechat::FaultLevel;

const ABOUT: &str = "\
Let a day happen at a running instance, and prove that nothing was lost.

Customers log in, scan codes and pay; now and then one sends the same request twice at once, tries \
a wrong amount, walks away, closes the order, or pays one that was closed. Some scan what a merchant's screen \
shows. One payment in twenty goes back, whole or in half, by the merchant or by an operator; large ones \
wait for a second operator, who does not always agree. Meanwhile the simulated WeChat loses, repeats, \
delays, reorders and forges callbacks, leaves the outcome of prepays and refunds unknown, and sends refunds to \
cards that do not take them. The demo sees what apps see: it speaks HTTP only, and a request that \
fails is sent again with the same key. So kill the service (or its database) while it runs, start it \
again, and watch the day go on.

Then a few people of their own show what risk and points do: one pays too often, one from another \
network, an owner at their own merchant, one with a coupon; a back end awards points, holds them and \
spends them, and the rest expires. Somebody refunds elsewhere, and a refund that WeChat does \
not take is withdrawn.

At the end it puts its own account of the day beside the service's and WeChat's: every order, every \
refund, each merchant's money, each customer's points; asks WeChat's side whether a forgery was accepted; \
plays two callbacks again; and runs verify-ledger. Everything must agree, else it exits with 1. \
Ctrl-C ends it early and prints what there is.

It takes a good minute, however small it is: some orders are left to expire, and a minute is the \
shortest time to pay. Meanwhile the tenant's payment policy is the demo's: a minute to pay at \
first, then thirty; refunds above ¥100 need a second person. It is put back at the end.

The tenant `demo` with its merchants is made first, if it is not there (--prepare does only that). \
Pay at the same merchants or change the rule by hand meanwhile, and the accounts differ: that is \
the demo noticing. One demo at a time, for the same reason.";

const EXAMPLES: &str = "\
Examples:
  ./dev run                                  # in one terminal
  ./dev demo                                 # in another
  ./dev demo --payments 20000 --customers 20000 --concurrency 128 --faults none   # how fast?
  ./dev demo --payments 500 --seed 7         # the same customers, merchants and amounts each time
  ./dev demo --json --no-verify | jq .checks

What it reads of the settings: DATABASE_URL and the JWT secret (to make the tenant and act as its \
admin), the addresses of the service and of WeChat. With --service and --simulator it needs no more \
than the first two. It refuses to pay at the real WeChat.";

/// Let a day happen at a running instance, and prove that nothing was lost.
#[derive(Debug, Parser)]
#[command(version, long_about = ABOUT, after_long_help = EXAMPLES)]
pub struct Demo {
    /// A TOML file with settings; the environment goes over it [also: `ZHANGFANG_CONFIG`].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How many payments are tried.
    #[arg(long, value_name = "N", default_value_t = 3_000, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    payments: usize,
    /// How many customers there are; one in fifty comes often.
    #[arg(long, value_name = "N", default_value_t = 1_500, value_parser = RangedU64ValueParser::<usize>::new().range(1..=100_000))]
    customers: usize,
    /// How many merchants there are.
    #[arg(long, value_name = "M", default_value_t = 8, value_parser = RangedU64ValueParser::<usize>::new().range(1..=99))]
    merchants: usize,
    /// How many customers pay at the same time.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = RangedU64ValueParser::<usize>::new().range(1..=2_000))]
    concurrency: usize,
    /// What goes wrong at WeChat.
    #[arg(long, value_enum, default_value_t = FaultLevel::All)]
    faults: FaultLevel,
    /// The seed of the day: one seed always plans one day.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The service [default: `ZHANGFANG_HTTP__PUBLIC_URL`, or the address that it listens on].
    #[arg(long, value_name = "URL")]
    service: Option<Url>,
    /// The simulated WeChat [default: `ZHANGFANG_WECHAT__PAY_URL`].
    #[arg(long, value_name = "URL")]
    simulator: Option<Url>,
    /// After this no new payment is begun.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    time_limit: u64,
    /// Only make the tenant and its merchants, and say where to pay.
    #[arg(long)]
    prepare: bool,
    /// Do not read the database at the end.
    #[arg(long)]
    no_verify: bool,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Demo::command().debug_assert();
    }

    #[test]
    fn arguments_are_understood() {
        let understood = |line: &str| {
            let words = std::iter::once("zhangfang-demo").chain(line.split(' '));
            Demo::try_parse_from(words).is_ok()
        };
        assert!(understood("--payments 50 --faults none --seed 7"));
        assert!(understood("--prepare --config x.toml"));
        assert!(understood("--json --no-verify"));
        assert!(!understood("--payments 0"));
        assert!(!understood("--faults some-day"));
    }
}
