//! What the service answers, as far as the demo reads it. Written down once more and not taken from `http`: a field that is renamed there breaks the demo, as it
//! would break an app.

use serde::{Deserialize, Serialize};

use crate::primitives::{BusinessDay, Secret};

#[derive(Debug, Deserialize)]
pub(super) struct Session {
    pub(super) access_token: Secret<String>,
    pub(super) staff: Option<StaffOf>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct StaffOf {
    #[serde(rename = "merchant_id")]
    pub(super) shop: String,
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
    pub(super) points_earned: Option<i64>,
    wechat_pay: Option<RequestPayment>,
}

#[derive(Debug, Clone, Deserialize)]
struct RequestPayment {
    package: String,
}

impl Payment {
    pub(super) fn is_paid(&self) -> bool {
        self.state == "paid"
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

/// What a shop took in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Totals {
    pub(super) orders: i64,
    pub(super) paid_fen: i64,
    pub(super) points: i64,
}

impl Totals {
    pub(super) const fn since(self, before: Self) -> Self {
        Self {
            orders: self.orders.saturating_sub(before.orders),
            paid_fen: self.paid_fen.saturating_sub(before.paid_fen),
            points: self.points.saturating_sub(before.points),
        }
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
    pub(super) expiry_days: Option<u32>,
}
