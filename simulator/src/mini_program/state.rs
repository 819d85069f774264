//! What the mini-program's side of WeChat remembers.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Mutex;

use serde::Serialize;
use time::OffsetDateTime;

use super::tokens::Tokens;

/// What the mini-program's side of WeChat remembers.
#[derive(Debug, Default)]
pub(in super::super) struct MiniProgram {
    pub(super) tokens: Mutex<Tokens>,
    pub(super) consents: Mutex<Consents>,
    pub(super) messages: Mutex<Messages>,
    pub(super) shipping: Mutex<ShippingReports>,
    /// The pages of the released version; `None` has them all.
    pub(super) pages: Mutex<Option<BTreeSet<String>>>,
    pub(super) minutes: Mutex<Minutes>,
}

/// The last shipping report of each payment, by `transaction_id`.
pub(super) type ShippingReports = BTreeMap<String, Shipping>;

/// The last shipping report of one payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shipping {
    /// The merchant's number.
    pub out_trade_no: String,
    /// WeChat's number.
    pub transaction_id: String,
    /// 1 express, 2 within the city, 3 virtual, 4 picked up.
    pub logistics_type: u8,
    /// What was delivered, parcel by parcel.
    pub items: Vec<String>,
    /// The instant that the merchant gave.
    #[serde(with = "time::serde::rfc3339")]
    pub upload_time: OffsetDateTime,
    /// How often the merchant has reported: 1 or 2.
    pub uploads: u8,
}

/// How many messages each user agreed to get, by openid and template.
pub(super) type Consents = HashMap<(String, String), u32>;

/// The messages that were sent, oldest first.
pub(super) type Messages = VecDeque<SubscribeMessage>;

/// A message that reached a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubscribeMessage {
    /// Who got it.
    pub openid: String,
    /// Which template.
    pub template_id: String,
    /// The page that it opens, if any.
    pub page: Option<String>,
    /// What stands in it, by the template's keys.
    pub data: BTreeMap<String, String>,
    /// When it was sent.
    #[serde(with = "time::serde::rfc3339")]
    pub sent_at: OffsetDateTime,
}

/// Calls of this minute.
#[derive(Debug, Default)]
pub(super) struct Minutes {
    minute: u64,
    counts: HashMap<&'static str, u32>,
}

impl Minutes {
    pub(super) fn admit(&mut self, call: &'static str, limit: u32, minute: u64) -> bool {
        if self.minute != minute {
            self.minute = minute;
            self.counts.clear();
        }
        let count = self.counts.entry(call).or_default();
        *count = count.saturating_add(1);
        *count <= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_minute_counts_anew() {
        let mut minutes = Minutes::default();
        assert!(minutes.admit("a", 1, 5) && !minutes.admit("a", 1, 5));
        assert!(minutes.admit("b", 1, 5) && minutes.admit("a", 1, 6));
    }
}
