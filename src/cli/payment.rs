//! One payment, told on the terminal.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};

use super::verify_ledger::fit;
use crate::{
    config::{DatabaseOnly, Source},
    db::Db,
    payments::{self, OrderOfTenant, PaymentHistoryView, PaymentNumber},
    primitives::Money,
    sharing, telemetry,
};

const ABOUT: &str = "\
Show what happened to a payment.

From the database alone: every state that the payment and its refunds were in, with when, why and \
who; every journal entry with its transfers; callbacks that were wrong; what a person should look \
at. Order numbers are those that merchants and customers see (WeChat's out_trade_no); a refund's \
number and WeChat's own (transaction_id) lead to the payment, too.

The account of DATABASE_URL suffices; it only reads. Times are UTC.";

const EXAMPLES: &str = "\
Examples:
  zhangfang payment show 06D8R5MKTS7J0T4V3C9Q2W00
  zhangfang payment show 4200002026112100000000000001       # as in a bill of WeChat's
  zhangfang payment show 06D8R5MKTS7J0T4V3C9Q2W00 --json | jq '.timeline[] | select(.what == \"refund\")'";

/// Show what happened to a payment.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT, after_long_help = EXAMPLES)]
pub(super) struct Payment {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell a payment's whole history.
    Show {
        /// The order's number or a refund's (24 letters and digits), or WeChat's of the payment.
        #[arg(value_parser = number)]
        number: PaymentNumber,
        /// Print one JSON object, the one of `GET /api/v1/admin/payments/{order_no}/history`.
        #[arg(long)]
        json: bool,
    },
}

/// WeChat's numbers are digits and longer than ours.
fn number(text: &str) -> Result<PaymentNumber, String> {
    let is_wechats = (25..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if is_wechats {
        return Ok(PaymentNumber::Wechat(text.to_owned()));
    }
    let ours = text.parse().map(PaymentNumber::Ours);
    ours.map_err(|_| {
        "24 letters and digits, or WeChat's number of a payment (28 digits)".to_owned()
    })
}

impl Payment {
    pub(super) async fn run(self, source: &Source) -> anyhow::Result<()> {
        let settings = DatabaseOnly::load(source)?;
        telemetry::start_logs(&settings.log)?;
        let Command::Show { number, json } = self.command;
        let db = super::open_database(&settings.database).await?;
        let history = load_history(&db, &number).await;
        db.close().await;
        let Some(history) = history.context("the payment cannot be read")? else {
            bail!("there is no payment, and no refund of one, with this number");
        };
        super::print(&if json {
            serde_json::to_string(&history).context("the history cannot be written as JSON")?
        } else {
            as_text(&history)
        });
        Ok(())
    }
}

async fn load_history(
    db: &Db,
    number: &PaymentNumber,
) -> anyhow::Result<Option<PaymentHistoryView>> {
    let found = payments::find_order_of_any_tenant(db, number).await?;
    let Some(OrderOfTenant { tenant, order }) = found else {
        return Ok(None);
    };
    let shared = sharing::sharing_causes(db, tenant, order).await?;
    let history = payments::order_history(db, tenant, order, &shared).await?;
    Ok(history.as_ref().map(PaymentHistoryView::from))
}

/// Amounts are never negative in the database; what is would be shown as it stands.
fn yuan(fen: i64) -> String {
    Money::parse(fen).map_or_else(|_| fen.to_string(), |money| money.to_string())
}

fn as_text(history: &PaymentHistoryView) -> String {
    let mut text = head(history);
    section(&mut text, "what happened", &timeline(history));
    if !history.refunds.is_empty() {
        section(&mut text, "refunds", &refunds(history));
    }
    if !history.entries.is_empty() {
        section(&mut text, "what was booked", &entries(history));
    }
    // Writing to a String cannot fail.
    for alarm in &history.alarms {
        let (at, reason, id) = (alarm.at, &alarm.reason, &alarm.callback_id);
        let _ = write!(text, "\n\nalarm: callback {id} at {at} is wrong: {reason}");
    }
    for exception in &history.exceptions {
        let outcome = match (&exception.resolution, &exception.resolved_by) {
            (Some(resolution), Some(by)) => format!("resolved by {by}: {resolution}"),
            (Some(_) | None, _) => "open".to_owned(),
        };
        let (id, kind, detail) = (exception.id, &exception.kind, &exception.detail);
        let _ = write!(text, "\n\n{kind} ({id}): {detail}; {outcome}");
    }
    if let Some(next) = &history.next_query {
        let (at, queries) = (next.at, next.queries);
        let _ = write!(
            text,
            "\n\nWeChat is asked next at {at}; it was asked {queries} times before"
        );
        if let Some(problem) = &next.problem {
            let _ = write!(text, "; the last time nothing was learnt: {problem}");
        }
    }
    text
}

fn head(history: &PaymentHistoryView) -> String {
    let payment = &history.payment;
    let mut text = format!(
        "payment {} of {} to {} ({}): {}",
        payment.order_no,
        yuan(payment.amount_fen),
        payment.merchant_name,
        payment.merchant_id,
        payment.state,
    );
    if let Some(customer) = payment.customer_id {
        let _ = write!(text, "\ncustomer {customer}");
    }
    if let (Some(number), Some(points)) = (&payment.wechat_transaction_id, payment.points) {
        let _ = write!(
            text,
            "\npaid as {number}, earned {points} points, {} refunded, {} refundable",
            yuan(payment.refunded_fen),
            yuan(payment.refundable_fen)
        );
    }
    text
}

fn section(text: &mut String, title: &str, table: &Table) {
    let _ = write!(text, "\n\n{title}\n{table}");
}

fn new_table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(header);
    table
}

fn timeline(history: &PaymentHistoryView) -> Table {
    let mut table = new_table(["when", "what", "became", "why", "who"]);
    for step in &history.timeline {
        let what = step
            .refund_no
            .map_or_else(|| step.what.to_owned(), |no| format!("refund {no}"));
        table.add_row([
            step.at.to_string(),
            what,
            step.state.to_owned(),
            step.why.clone(),
            step.who.clone(),
        ]);
    }
    fit(&mut table);
    table
}

fn refunds(history: &PaymentHistoryView) -> Table {
    let mut table = new_table([
        "refund",
        "amount",
        "state",
        "points back",
        "reason",
        "problem",
    ]);
    for refund in &history.refunds {
        table.add_row([
            refund.refund_no.to_string(),
            yuan(refund.amount_fen),
            refund.state.to_owned(),
            refund.points_back.to_string(),
            refund.reason.clone(),
            match (&refund.problem, &refund.problem_detail) {
                (Some(problem), Some(detail)) => format!("{problem}: {detail}"),
                (problem, _) => problem.clone().unwrap_or_default(),
            },
        ]);
    }
    fit(&mut table);
    table
}

fn entries(history: &PaymentHistoryView) -> Table {
    let mut table = new_table(["when", "entry", "phase", "debit", "credit", "amount"]);
    for entry in &history.entries {
        for transfer in &entry.transfers {
            table.add_row([
                entry.at.to_string(),
                entry.kind.to_owned(),
                transfer.phase.to_owned(),
                transfer.debit.to_owned(),
                transfer.credit.to_owned(),
                match transfer.asset {
                    "cny_fen" => yuan(transfer.amount),
                    other => format!("{} {other}", transfer.amount),
                },
            ]);
        }
    }
    fit(&mut table);
    table
}
