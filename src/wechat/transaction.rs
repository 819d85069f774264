//! An order as WeChat states it: in callbacks and in answers to queries (§4, §12.4).

use std::borrow::Cow;

use serde::{Deserialize, de::IgnoredAny};

use super::lenient::lenient;
use crate::{
    payments::{ChannelMode, OurAccount, PaidNotice},
    primitives::{Money, Secret, Timestamp},
};

/// Every member but the state is missing somewhere: by mode, in a combined order, or before
/// payment. What only a payment makes meaningful is read leniently: an unpaid order has come with
/// an `amount` without `total` and with an empty `success_time`.
#[derive(Debug, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names are WeChat's")]
pub(super) struct Transaction<'a> {
    #[serde(borrow, default)]
    trade_state: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "lenient")]
    sp_appid: Option<String>,
    sp_mchid: Option<String>,
    sub_mchid: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    appid: Option<String>,
    mchid: Option<String>,
    out_trade_no: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    transaction_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    success_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient")]
    payer: Option<Payer>,
    #[serde(default, deserialize_with = "lenient")]
    amount: Option<Amount>,
    combine_mchid: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Amount {
    total: i64,
    #[serde(default, deserialize_with = "lenient")]
    payer_total: Option<i64>,
    currency: Option<String>,
}

/// Under our mini-program in either mode. What a merchant's own mini-program calls the payer
/// (`sub_openid`) is of no use to us.
#[derive(Debug, Deserialize)]
struct Payer {
    #[serde(default, deserialize_with = "lenient")]
    sp_openid: Option<Secret<String>>,
    #[serde(default, deserialize_with = "lenient")]
    openid: Option<Secret<String>>,
}

/// Who collects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A service provider for a merchant, or a merchant for itself.
    One(ChannelMode),
    /// Several at once.
    Combined,
}

impl Transaction<'_> {
    pub(super) fn shape(&self) -> Shape {
        if self.combine_mchid.is_some() {
            Shape::Combined
        } else if self.mchid.is_some() && self.sp_mchid.is_none() {
            Shape::One(ChannelMode::Direct)
        } else {
            Shape::One(ChannelMode::Partner)
        }
    }

    pub(super) fn state(&self) -> &str {
        self.trade_state.as_deref().unwrap_or_default()
    }

    pub(super) fn has_number(&self, out_trade_no: &str) -> bool {
        self.out_trade_no.as_deref() == Some(out_trade_no)
    }

    pub(super) fn has_transaction(&self, id: &str) -> bool {
        self.transaction_id.as_deref() == Some(id)
    }

    /// Whether it is an order of ours and of that merchant. An answer's signature says that WeChat
    /// wrote it, not that it answers this question.
    pub(super) fn is_of(&self, us: &OurAccount, sub_mchid: &str) -> bool {
        let our = Some(us.mchid.as_str());
        match us.mode {
            ChannelMode::Partner => {
                self.sp_mchid.as_deref() == our && self.sub_mchid.as_deref() == Some(sub_mchid)
            }
            ChannelMode::Direct => self.mchid.as_deref() == our && us.mchid == sub_mchid,
        }
    }

    /// What it says of the payment. `None` unless everything that must be checked is there. The
    /// caller has looked at the state.
    pub(super) fn paid(self) -> Option<PaidNotice> {
        let amount = self.amount?;
        let (sp_mchid, sub_mchid, app_id) = match (self.sp_mchid, self.mchid) {
            (Some(sp_mchid), _) => (sp_mchid, self.sub_mchid?, self.sp_appid?),
            (None, Some(mchid)) => (mchid.clone(), mchid, self.appid?),
            (None, None) => return None,
        };
        let openid = self
            .payer
            .and_then(|payer| payer.sp_openid.or(payer.openid));
        Some(PaidNotice {
            out_trade_no: self.out_trade_no?,
            wechat_transaction_id: self.transaction_id.filter(|id| !id.is_empty())?,
            sp_mchid,
            sub_mchid,
            app_id,
            payer_openid: openid.filter(|openid| !openid.expose().is_empty()),
            amount: Money::parse(amount.total).ok()?,
            currency: amount.currency?,
            payer_amount: amount.payer_total.and_then(|fen| Money::parse(fen).ok()),
            paid_at: self.success_time?,
        })
    }
}
