//! The summary for people.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use comfy_table::{CellAlignment, Table, presets::UTF8_BORDERS_ONLY};

use super::{
    measure::Percentiles,
    points::RuleReport,
    scenes::SceneReport,
    summary::{OrdersReport, Summary},
    tenant::Offer,
};
use zhangfang::{cli::verify_ledger, primitives::Money};

/// Which columns hold numbers is said by the place of the first.
fn table<const N: usize>(header: [&str; N], first_number: usize) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(header);
    verify_ledger::fit(&mut table);
    for number in first_number..N {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn yuan(fen: i64) -> String {
    Money::parse(fen).map_or_else(|_| format!("{fen} fen"), |money| money.to_string())
}

fn mark(agrees: bool) -> &'static str {
    if agrees { "agrees" } else { "DIFFERS" }
}

/// Where one can pay.
pub(super) fn offers(offers: &[Offer]) -> String {
    let mut table = table(["merchant", "code", "amount", "pay page"], 4);
    for offer in offers {
        let amount = offer.amount_fen.map_or_else(|| "open".to_owned(), yuan);
        table.add_row([&offer.merchant, &offer.code, &amount, &offer.pay_page]);
    }
    table.to_string()
}

/// Everything but the ledger's own verification.
pub(super) fn summary(summary: &Summary) -> String {
    let mut parts = vec![
        orders(&summary.orders),
        callbacks(summary),
        merchants(summary),
        returns(summary),
        points(summary),
        speed(summary),
    ];
    parts.extend(summary.scenes.iter().map(scene));
    if !summary.checks.is_empty() {
        parts.push(checks(summary));
    }
    parts.join("\n\n")
}

fn scene(report: &SceneReport) -> String {
    let mut text = report.title.to_owned();
    for line in &report.lines {
        let _ = write!(text, "\n  · {line}");
    }
    text
}

fn orders(orders: &OrdersReport) -> String {
    let mut table = table(["orders", "the demo left", "the books have"], 1);
    let states: BTreeSet<&String> = orders.left.keys().chain(orders.states.keys()).collect();
    for state in states {
        let count = |of: &BTreeMap<String, usize>| of.get(state).copied().unwrap_or(0).to_string();
        table.add_row([state.clone(), count(&orders.left), count(&orders.states)]);
    }
    let mut text = format!(
        "{table}\n{} of {} payments planned; {} orders were paid because the app asked before a callback came, {} because the service asked by itself; \
         {} were shown by a merchant and scanned, {} paid after they had been closed; {} were stopped by risk",
        orders.done,
        orders.planned,
        orders.paid_by_question,
        orders.found_by_service,
        orders.scanned,
        orders.paid_late,
        orders.stopped
    );
    for (reason, count) in &orders.failures {
        let _ = write!(text, "\n{count} times: {reason}");
    }
    text
}

fn callbacks(summary: &Summary) -> String {
    let wechat = summary.callbacks.wechat;
    let mut sent = table(["WeChat's side", ""], 1);
    for (what, count) in [
        ("callbacks sent", wechat.callbacks_sent),
        ("  genuine, acknowledged", wechat.callbacks_acknowledged),
        ("  genuine, refused", wechat.callbacks_refused),
        ("  genuine, not answered", wechat.callbacks_unanswered),
        ("  true signature, untrue content", wechat.attacks_sent),
        ("  forged", wechat.forgeries_sent),
        ("  forged and acknowledged", wechat.forgeries_acknowledged),
        ("callbacks never sent", wechat.callbacks_lost),
        ("calls spoiled", wechat.call_faults),
    ] {
        sent.add_row([what.to_owned(), count.to_string()]);
    }
    let since = if summary.callbacks.since_start {
        "callbacks_total, since the service was started again"
    } else {
        "callbacks_total"
    };
    let mut taken = table([since, ""], 1);
    for (outcome, count) in &summary.callbacks.service {
        taken.add_row([outcome.clone(), count.to_string()]);
    }
    format!("{sent}\n\n{taken}")
}

fn merchants(summary: &Summary) -> String {
    let header = [
        "merchant",
        "payments",
        "the demo paid",
        "the merchant sees",
        "went back",
        "the merchant sees",
        "points",
        "",
    ];
    let mut table = table(header, 1);
    for merchant in &summary.merchants {
        let seen = merchant.seen.unwrap_or_default();
        table.add_row([
            merchant.name.clone(),
            merchant.moved.orders.to_string(),
            yuan(merchant.moved.paid_fen),
            merchant
                .seen
                .map_or_else(|| "?".to_owned(), |seen| yuan(seen.paid_fen)),
            yuan(merchant.moved.refunded_fen),
            merchant
                .seen
                .map_or_else(|| "?".to_owned(), |seen| yuan(seen.refunded_fen)),
            seen.points.to_string(),
            mark(merchant.agrees()).to_owned(),
        ]);
    }
    table.to_string()
}

fn returns(summary: &Summary) -> String {
    let mut table = table(["money that goes back", "refunds", "asked", "arrived"], 1);
    for kind in &summary.returns.kinds {
        table.add_row([
            kind.what.to_owned(),
            kind.refunds.to_string(),
            yuan(kind.asked_fen),
            yuan(kind.arrived_fen),
        ]);
    }
    let states: Vec<String> = summary
        .returns
        .states
        .iter()
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    let mut text = format!(
        "{table}\nin the end: {}; {} points were given back",
        states.join(", "),
        summary.returns.points_back
    );
    for (failure, count) in &summary.returns.failures {
        let _ = write!(text, "\n{count} times: {failure}");
    }
    if let Some(desk) = &summary.desk {
        let _ = write!(
            text,
            "\non the operators' list: {} late payments, {} abnormal refunds ({} resolved by hand)",
            desk.late_payments, desk.abnormal_refunds, desk.resolved
        );
    }
    text
}

fn points(summary: &Summary) -> String {
    let header = [
        "points",
        "payments",
        "paid",
        "without cap",
        "expected",
        "given",
        "",
    ];
    let mut table = table(header, 1);
    let compared = summary.points.not_compared.is_none();
    let verdict = |agrees| {
        if compared {
            mark(agrees)
        } else {
            "not compared"
        }
    };
    for report in &summary.points.rules {
        table.add_row([
            rule(report),
            report.payments.to_string(),
            yuan(report.paid_fen),
            report.uncapped.to_string(),
            report.expected.to_string(),
            report.given.to_string(),
            verdict(report.expected == report.given).to_owned(),
        ]);
    }
    for customer in &summary.points.samples {
        table.add_row([
            customer.name.clone(),
            customer.payments.to_string(),
            yuan(customer.paid_fen),
            customer.uncapped.to_string(),
            customer.expected.to_string(),
            customer.given.to_string(),
            verdict(customer.expected == customer.given).to_owned(),
        ]);
    }
    match summary.points.not_compared {
        Some(why) => format!("{table}\nnot compared: {why}"),
        None => table.to_string(),
    }
}

/// `rule 2: 1 a yuan, 2000 a day`
fn rule(report: &RuleReport) -> String {
    let mut text = format!("rule {}: {} a yuan", report.rule.version, report.rule.ratio);
    if let Some(cap) = report.rule.daily_cap {
        let _ = write!(text, ", {cap} a day");
    }
    text
}

fn speed(summary: &Summary) -> String {
    let speed = &summary.speed;
    let mut table = table(["milliseconds", "samples", "p50", "p95", "p99", "most"], 1);
    let kinds: [(&str, Percentiles); 3] = [
        ("log in", speed.login),
        ("create a payment", speed.create),
        ("from paid to visible", speed.paid_to_visible),
    ];
    for (what, report) in kinds {
        table.add_row([
            what.to_owned(),
            report.samples.to_string(),
            report.p50_us.to_string(),
            report.p95_us.to_string(),
            report.p99_us.to_string(),
            report.max_us.to_string(),
        ]);
    }
    let repeated = summary.repeated;
    let mut text = format!(
        "{table}\n{} payments a second for {:.1?}; requests repeated: {} unreachable, {} busy, {} outcome unknown",
        speed.payments_per_second,
        Duration::from_millis(speed.elapsed_ms),
        repeated.unreachable,
        repeated.busy,
        repeated.outcome_unknown
    );
    if repeated.interruptions > 0 {
        let _ = write!(
            text,
            "\nthe service was away {} times, {:.1?} in all, and the day went on",
            repeated.interruptions,
            Duration::from_millis(repeated.interrupted_ms)
        );
    }
    text
}

fn checks(summary: &Summary) -> String {
    let mut table = table(["what must be so", "found", ""], 3);
    for check in &summary.checks {
        table.add_row([check.what, &check.detail, mark(check.agrees)]);
    }
    table.to_string()
}
