//! Refunds beside what WeChat made of them. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use super::{
    books::Closing,
    check::Check,
    day_record::DayRecord,
    plan::Asker,
    refund_seen::RefundSeen,
    visit::Visit,
    wechat::{REFUNDS_LISTED, WechatRefund},
};

/// What the summary says of the money that went back.
#[derive(Debug, Default, Serialize)]
pub(super) struct ReturnsReport {
    pub(super) kinds: Vec<KindReport>,
    /// How they ended, and how often.
    pub(super) states: BTreeMap<String, usize>,
    pub(super) points_back: i64,
    /// What the demo could not do, and how often.
    pub(super) failures: BTreeMap<String, usize>,
    #[serde(skip)]
    pub(super) checks: Vec<Check>,
}

/// Refunds of one kind; one refund may be of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct KindReport {
    pub(super) what: &'static str,
    pub(super) refunds: usize,
    pub(super) asked_fen: i64,
    pub(super) arrived_fen: i64,
}

type IsOfKind = fn(&RefundSeen) -> bool;

const KINDS: [(&str, IsOfKind); 9] = [
    ("by a merchant", |seen| seen.asker == Some(Asker::Merchant)),
    ("by an operator", |seen| seen.asker == Some(Asker::Operator)),
    ("by policy, of a late payment", |seen| seen.asker.is_none()),
    ("  of a whole payment", |seen| seen.whole),
    ("  of a part", |seen| !seen.whole),
    ("  agreed to by a second person", |seen| {
        seen.agreed == Some(true)
    }),
    ("  refused by a second person", |seen| {
        seen.agreed == Some(false)
    }),
    ("  without a verified answer, at first", |seen| seen.unsure),
    ("  abnormal, and sent elsewhere", |seen| seen.redirected),
];

pub(super) fn report(record: &DayRecord<'_>) -> ReturnsReport {
    let refunds: Vec<&RefundSeen> = seen(&record.day.visits).collect();
    let kind = |(what, is_of): (&'static str, IsOfKind)| {
        let of_kind = || refunds.iter().filter(|seen| is_of(seen));
        let arrived = of_kind().filter(|seen| seen.has_arrived());
        KindReport {
            what,
            refunds: of_kind().count(),
            asked_fen: of_kind().map(|seen| seen.amount_fen).sum(),
            arrived_fen: arrived.map(|seen| seen.amount_fen).sum(),
        }
    };
    let mut report = ReturnsReport {
        kinds: KINDS.into_iter().map(kind).collect(),
        ..ReturnsReport::default()
    };
    for seen in &refunds {
        match &seen.failure {
            Some(failure) => *report.failures.entry(failure.clone()).or_default() += 1,
            None => *report.states.entry(seen.state.clone()).or_default() += 1,
        }
        if seen.has_arrived() {
            report.points_back = report.points_back.saturating_add(seen.points_back);
        }
    }
    let over = refunds.iter().filter(|seen| seen.failure.is_none()).count();
    report.checks.push(Check::all(
        "every refund came to its end",
        over,
        refunds.len(),
    ));
    if let Some(closing) = record.closing {
        report
            .checks
            .push(agrees_with_wechat(&record.day.visits, closing));
    }
    report
}

fn seen(visits: &[Visit]) -> impl Iterator<Item = &RefundSeen> {
    visits.iter().filter_map(|visit| visit.refund.as_ref())
}

/// WeChat has every refund as the service says, and of the day's orders no other. Its list ends
/// after so many: then what is not in it proves nothing.
fn agrees_with_wechat(visits: &[Visit], closing: &Closing) -> Check {
    let what = "WeChat made every refund as the service says, and no other";
    let listed = &closing.wechat_refunds;
    let (wrong, unknown) = differences(visits, listed);
    let detail = format!("{} wrong, {unknown} unknown to the demo", wrong.len());
    let detail = wrong.iter().take(5).fold(detail, |mut detail, number| {
        detail.push(' ');
        detail.push_str(number);
        detail
    });
    Check::new(what, wrong.is_empty() && unknown == 0, detail)
}

/// The refunds that are not at WeChat as they should be, and how many there are of the day's orders
/// that the demo knows nothing of.
fn differences<'a>(visits: &'a [Visit], listed: &[WechatRefund]) -> (Vec<&'a str>, usize) {
    let mut theirs: HashMap<&str, &WechatRefund> = listed
        .iter()
        .map(|refund| (refund.out_refund_no.as_str(), refund))
        .collect();
    let all_listed = listed.len() < REFUNDS_LISTED;
    let mut wrong = Vec::new();
    for seen in seen(visits) {
        let Some(number) = seen.refund_no.as_deref() else {
            continue;
        };
        let found = theirs.remove(number);
        let is_right = match (seen.wechat_status(), found) {
            (None, None) => true,
            (Some(status), Some(found)) => {
                found.status == status && found.refund_fen == seen.amount_fen
            }
            (Some(_), None) => !all_listed,
            (None, Some(_)) => false,
        };
        if !is_right {
            wrong.push(number);
        }
    }
    let orders: HashSet<&str> = visits
        .iter()
        .filter_map(|visit| visit.order_no.as_deref())
        .collect();
    // One whose asking was never answered may be there.
    let unanswered = seen(visits).filter(|seen| seen.refund_no.is_none()).count();
    let unknown = theirs
        .values()
        .filter(|refund| orders.contains(refund.out_trade_no.as_str()))
        .count();
    (wrong, unknown.saturating_sub(unanswered))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Behaviour, Counter, Intent};

    fn visit(order_no: &str, refund: Option<(&str, &str, i64)>) -> Visit {
        let intent = Intent {
            number: 0,
            customer: 0,
            counter: Counter {
                merchant: 0,
                code: String::new(),
                amount_fen: None,
            },
            amount_fen: 100,
            twice: false,
            wrong_first: false,
            behaviour: Behaviour::Pay,
            refund: None,
        };
        let seen = |(number, state, fen): (&str, &str, i64)| {
            let mut seen = RefundSeen::planned(Some(Asker::Merchant), fen);
            (seen.refund_no, seen.state) = (Some(number.to_owned()), state.to_owned());
            seen
        };
        Visit {
            order_no: Some(order_no.to_owned()),
            refund: refund.map(seen),
            ..Visit::new(&intent)
        }
    }

    fn listed(number: &str, order_no: &str, status: &str, refund_fen: i64) -> WechatRefund {
        WechatRefund {
            out_refund_no: number.to_owned(),
            out_trade_no: order_no.to_owned(),
            refund_fen,
            status: status.to_owned(),
        }
    }

    #[test]
    fn a_refund_that_is_another_at_wechat_is_found() {
        let visits = [
            visit("O1", Some(("R1", "succeeded", 40))),
            visit("O2", None),
        ];
        let found = |theirs: &[WechatRefund]| {
            let (wrong, unknown) = differences(&visits, theirs);
            (wrong.len(), unknown)
        };
        assert_eq!(found(&[listed("R1", "O1", "SUCCESS", 40)]), (0, 0));
        assert_eq!(found(&[listed("R1", "O1", "SUCCESS", 41)]), (1, 0));
        assert_eq!(found(&[listed("R1", "O1", "CLOSED", 40)]), (1, 0));
        assert_eq!(found(&[]), (1, 0));
        let twice = [
            listed("R1", "O1", "SUCCESS", 40),
            listed("R9", "O2", "SUCCESS", 5),
            listed("R8", "of another day", "SUCCESS", 5),
        ];
        assert_eq!(found(&twice), (0, 1));
    }

    #[test]
    fn a_rejected_refund_must_not_be_at_wechat() {
        let visits = [visit("O1", Some(("R1", "rejected", 40)))];
        assert_eq!(differences(&visits, &[]).0.len(), 0);
        let made = [listed("R1", "O1", "SUCCESS", 40)];
        assert_eq!(differences(&visits, &made).0, ["R1"]);
    }
}
