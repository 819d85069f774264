//! An order in WeChat's words: the plain text of a callback and the answer to a query (§4, §12.4).

use std::borrow::Cow;

use serde::{Deserialize, de::IgnoredAny};

use crate::{
    payments::PaidNotice,
    primitives::{Money, Timestamp},
};

/// Every member but the state is missing somewhere: in a direct merchant's order, a combined one, or before payment.
#[derive(Debug, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names are WeChat's")]
pub(super) struct Transaction<'a> {
    #[serde(borrow, default)]
    trade_state: Cow<'a, str>,
    sp_appid: Option<String>,
    sp_mchid: Option<String>,
    sub_mchid: Option<String>,
    out_trade_no: Option<String>,
    transaction_id: Option<String>,
    success_time: Option<Timestamp>,
    amount: Option<Amount>,
    mchid: Option<IgnoredAny>,
    combine_mchid: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Amount {
    total: i64,
    payer_total: Option<i64>,
    currency: Option<String>,
}

/// Who collects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A platform for a shop: what we are.
    Partner,
    /// A merchant for itself.
    Direct,
    /// Several at once.
    Combined,
}

impl Transaction<'_> {
    pub(super) fn shape(&self) -> Shape {
        if self.combine_mchid.is_some() {
            Shape::Combined
        } else if self.mchid.is_some() && self.sp_mchid.is_none() {
            Shape::Direct
        } else {
            Shape::Partner
        }
    }

    pub(super) fn state(&self) -> &str {
        &self.trade_state
    }

    /// Whether it is the order that was asked for. An answer's signature says that WeChat wrote it, not that it
    /// answers this question.
    pub(super) fn is(&self, out_trade_no: &str, sub_mchid: &str) -> bool {
        self.out_trade_no.as_deref() == Some(out_trade_no)
            && self.sub_mchid.as_deref() == Some(sub_mchid)
    }

    /// What it says of the payment. `None` unless it succeeded and everything that must be checked is there.
    pub(super) fn paid(self) -> Option<PaidNotice> {
        if self.trade_state != "SUCCESS" {
            return None;
        }
        let amount = self.amount?;
        Some(PaidNotice {
            out_trade_no: self.out_trade_no?,
            wechat_transaction_id: self.transaction_id.filter(|id| !id.is_empty())?,
            sp_mchid: self.sp_mchid?,
            sub_mchid: self.sub_mchid?,
            app_id: self.sp_appid?,
            amount: Money::parse(amount.total).ok()?,
            currency: amount.currency?,
            payer_amount: amount.payer_total.map(Money::parse).transpose().ok()?,
            paid_at: self.success_time?,
        })
    }
}
