//! What the service answers, as far as the demo reads it. Written down once more and not taken from
//! `http`: a field that is renamed there breaks the demo, as it would break an app.

use serde::{Deserialize, Serialize};

use zhangfang::{
    points::{Rounding, Validity},
    primitives::{BusinessDay, Secret},
};

#[derive(Debug, Deserialize)]
pub(super) struct Session {
    pub(super) access_token: Secret<String>,
    pub(super) staff: Option<StaffOf>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct StaffOf {
    #[serde(rename = "merchant_id")]
    pub(super) merchant: String,
    #[serde(rename = "merchant_name")]
    pub(super) name: String,
    #[serde(rename = "merchant_state")]
    pub(super) state: String,
}

/// An order as its customer sees it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Payment {
    pub(super) order_no: String,
    pub(super) state: String,
    pub(super) amount_fen: i64,
    /// What of it has come back.
    pub(super) refunded_fen: i64,
    pub(super) points_earned: Option<i64>,
    wechat_pay: Option<RequestPayment>,
}

#[derive(Debug, Clone, Deserialize)]
struct RequestPayment {
    package: String,
}

impl Payment {
    /// Also when some or all of it went back later.
    pub(super) fn is_paid(&self) -> bool {
        ["paid", "partly_refunded", "refunded"].contains(&self.state.as_str())
    }

    /// What `wx.requestPayment` would be given.
    pub(super) fn prepay_id(&self) -> Option<&str> {
        self.wechat_pay.as_ref()?.package.strip_prefix("prepay_id=")
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct PageOf<T> {
    pub(super) items: Vec<T>,
    pub(super) next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CollectionCode {
    pub(super) code: String,
    pub(super) label: String,
    pub(super) amount_fen: Option<i64>,
    pub(super) state: String,
}

/// What a merchant shows on its screen for somebody to scan.
#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    pub(super) order_no: String,
    pub(super) amount_fen: i64,
    pub(super) code_url: String,
}

/// A refund, as far as merchant, tenant and customer all see it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Refund {
    #[serde(rename = "refund_no")]
    pub(super) number: String,
    pub(super) state: String,
    pub(super) amount_fen: i64,
    pub(super) points_back: i64,
    /// The states that it was in; operators see them.
    #[serde(default)]
    history: Vec<RefundStep>,
}

#[derive(Debug, Clone, Deserialize)]
struct RefundStep {
    why: Option<String>,
}

impl Refund {
    /// Whether nothing will happen to it any more.
    pub(super) fn is_over(&self) -> bool {
        ["succeeded", "rejected", "closed", "failed", "withdrawn"].contains(&self.state.as_str())
    }

    /// Whether WeChat once gave no answer that could be verified, so that nobody knew if it has the
    /// refund.
    pub(super) fn was_unsure(&self) -> bool {
        let unanswered = |step: &RefundStep| step.why.as_deref() == Some("no_answer");
        self.history.iter().any(unanswered)
    }
}

/// A customer's refunds of one order.
#[derive(Debug, Deserialize)]
pub(super) struct RefundsOf {
    pub(super) items: Vec<Refund>,
}

/// What the tenant wants done where it has a choice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct PaymentPolicy {
    /// Not part of what is put.
    #[serde(skip_serializing)]
    pub(super) version: u32,
    pub(super) order_minutes: u32,
    pub(super) late_payment: String,
    pub(super) points_shortfall: String,
    pub(super) clerk_refund_max_fen: i64,
    pub(super) clerk_refund_day_max_fen: i64,
    pub(super) refund_review_above_fen: i64,
    pub(super) fee_ppm: u32,
}

/// A callback that the service keeps.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct KeptCallback {
    pub(super) id: String,
}

/// What playing one again did.
#[derive(Debug, Deserialize)]
pub(super) struct Replayed {
    pub(super) outcome: String,
}

/// What a person should look at.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Exception {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) order_no: Option<String>,
    pub(super) resolution: Option<String>,
}

/// What a merchant took in, and what went back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Totals {
    pub(super) orders: i64,
    pub(super) paid_fen: i64,
    pub(super) points: i64,
    pub(super) refunds: i64,
    pub(super) refunded_fen: i64,
    pub(super) points_back: i64,
}

impl Totals {
    pub(super) const fn since(self, before: Self) -> Self {
        Self {
            orders: self.orders.saturating_sub(before.orders),
            paid_fen: self.paid_fen.saturating_sub(before.paid_fen),
            points: self.points.saturating_sub(before.points),
            refunds: self.refunds.saturating_sub(before.refunds),
            refunded_fen: self.refunded_fen.saturating_sub(before.refunded_fen),
            points_back: self.points_back.saturating_sub(before.points_back),
        }
    }

    /// The money of it, in and out, as numbers and fen; points given are compared customer by
    /// customer.
    pub(super) const fn money(self) -> [i64; 5] {
        [
            self.orders,
            self.paid_fen,
            self.refunds,
            self.refunded_fen,
            self.points_back,
        ]
    }
}

/// What a customer ever earned, and on the last days.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Statistics {
    pub(super) earned_total: i64,
    days: Vec<DayEarned>,
}

#[derive(Debug, Clone, Deserialize)]
struct DayEarned {
    day: String,
    earned: i64,
}

impl Statistics {
    pub(super) fn earned_on(&self, day: BusinessDay) -> i64 {
        let day = day.to_string();
        self.days
            .iter()
            .filter(|row| row.day == day)
            .map(|row| row.earned)
            .sum()
    }
}

/// The rule in force, as the API writes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct PointsRule {
    pub(super) version: u32,
    pub(super) ratio: String,
    pub(super) amount_min_fen: i64,
    pub(super) amount_max_fen: Option<i64>,
    pub(super) daily_cap: Option<i64>,
    pub(super) total_cap: Option<i64>,
    pub(super) rounding: Rounding,
    pub(super) validity: Validity,
}
