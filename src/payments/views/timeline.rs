//! What happened to an order, to its sharing and to its refunds, one thing after another.

use serde::Serialize;

use crate::{
    payments::{ChangeReason, OrderHistory, Refund, RefundStep},
    primitives::{RefundNo, Timestamp},
};

/// Something that happened to an order or to one of its refunds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = TimelineStep)]
pub struct TimelineStep {
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// `payment`, `refund`, or `sharing` of the payment.
    #[schema(example = "payment")]
    pub what: &'static str,
    /// Which refund, when it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub refund_no: Option<RefundNo>,
    /// What it was from then on: a state, such as `paid`, of the payment or of the refund; of a
    /// sharing `in_progress`, then `done`.
    #[schema(example = "paid")]
    pub state: &'static str,
    /// For a payment a stable code (`callback`, `expiry`, `refund_asked`, ..); for a refund what
    /// was said of it.
    #[schema(example = "callback")]
    pub why: String,
    /// A person (`operator:lin`, `st_..`), or `customer`, `merchant`, `wechat`, `tenant`.
    #[schema(example = "wechat")]
    pub who: String,
}

impl TimelineStep {
    pub(super) fn of_refund(refund: &Refund, step: &RefundStep) -> Self {
        Self {
            at: step.at,
            what: "refund",
            refund_no: Some(refund.no()),
            state: step.state.name(),
            why: step.why.clone(),
            who: step.actor.to_string(),
        }
    }
}

impl ChangeReason {
    /// Who it was when no person is named.
    const fn who(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Merchant => "merchant",
            Self::Prepay
            | Self::Callback
            | Self::Query
            | Self::ClosedAtWechat
            | Self::RefundArrived
            | Self::RefundedElsewhere => "wechat",
            Self::Operator => "operator",
            Self::Expiry
            | Self::LateRefunded
            | Self::LateReopened
            | Self::RefundAsked
            | Self::RefundDropped
            | Self::Sharing
            | Self::Reviewed
            | Self::MerchantSuspended => "tenant",
        }
    }
}

/// What happened to the order and to its refunds, in the order of time. Of two things at one
/// instant the order's stands first.
pub fn timeline(history: &OrderHistory) -> Vec<TimelineStep> {
    // The order's state stays as it is when its payment is shared: the first such step is the
    // beginning, the next the end.
    let mut begun = false;
    let of_order = history.steps.iter().map(|step| TimelineStep {
        at: step.at,
        what: if step.why == ChangeReason::Sharing {
            "sharing"
        } else {
            "payment"
        },
        refund_no: None,
        state: if step.why == ChangeReason::Sharing {
            sharing_word(&mut begun)
        } else {
            step.state.name()
        },
        why: step.why.name().to_owned(),
        who: step
            .actor
            .as_ref()
            .map_or_else(|| step.why.who().to_owned(), ToString::to_string),
    });
    let mut timelines = vec![of_order.collect::<Vec<_>>()];
    for (refund, history) in &history.refunds {
        let steps = history
            .iter()
            .map(|step| TimelineStep::of_refund(refund, step));
        timelines.push(steps.collect());
    }
    merge(timelines)
}

fn sharing_word(begun: &mut bool) -> &'static str {
    if std::mem::replace(begun, true) {
        "done"
    } else {
        "in_progress"
    }
}

/// Merged and not sorted: two processes' clocks may differ, and what happened to one thing stays in
/// its order whatever they said.
fn merge(timelines: Vec<Vec<TimelineStep>>) -> Vec<TimelineStep> {
    let mut heads: Vec<_> = timelines
        .into_iter()
        .map(|history| history.into_iter().peekable())
        .collect();
    let mut merged = Vec::new();
    loop {
        let next = heads
            .iter_mut()
            .filter_map(|history| history.peek().map(|step| step.at).map(|at| (at, history)))
            .min_by_key(|(at, _)| *at);
        match next.and_then(|(_, history)| history.next()) {
            Some(step) => merged.push(step),
            None => return merged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(what: &'static str, seconds: i64, state: &'static str) -> TimelineStep {
        TimelineStep {
            at: Timestamp::from_micros(seconds * 1_000_000),
            what,
            refund_no: None,
            state,
            why: String::new(),
            who: String::new(),
        }
    }

    #[test]
    fn steps_are_in_order_of_time_and_no_history_is_reordered() {
        // The second process's clock is behind: `paid` must not stand before `created`.
        let order = vec![step("payment", 10, "created"), step("payment", 9, "paid")];
        let refund = vec![
            step("refund", 9, "accepted"),
            step("refund", 12, "succeeded"),
        ];
        let merged = merge(vec![order, refund, Vec::new()]);
        let states: Vec<_> = merged.iter().map(|step| step.state).collect();
        assert_eq!(states, ["accepted", "created", "paid", "succeeded"]);
    }

    #[test]
    fn at_one_instant_the_order_comes_first() {
        let merged = merge(vec![
            vec![step("payment", 1, "paid")],
            vec![step("refund", 1, "accepted")],
        ]);
        assert_eq!(merged[0].what, "payment");
        assert_eq!(merged.len(), 2);
    }
}
