//! Refunds: requested, queried and redirected (§5).
//!
//! A number identifies a refund: it is made once, however often it is requested, and a failed one
//! is tried again under its number. WeChat's answer says that the request was accepted; whether the
//! money arrived is stated by a query or a callback.

use serde::Serialize;

use super::{
    WechatChannel,
    answer::{CallAnswer, unclear},
    breaker::Class,
    refund::Refund,
    retry::RetryPolicy,
    transport::Call,
};
use crate::payments::{
    AbnormalRefund, ChannelOutcome, ChannelRefund, RefundCall, Refusal, RefusalKind,
};

/// What of a reason is sent, bytes.
const REASON_MAX_BYTES: usize = 80;

const REFUNDS: [&str; 4] = ["v3", "refund", "domestic", "refunds"];

impl WechatChannel {
    pub(super) async fn ask_refund(&self, call: RefundCall) -> ChannelOutcome<ChannelRefund> {
        let (refund_no, order_no) = (call.refund_no.to_string(), call.order_no.to_string());
        let reason = &call.reason[..call.reason.floor_char_boundary(REASON_MAX_BYTES)];
        let body = Asked {
            sub_mchid: self.sub_mchid(&call.sub_mchid),
            out_trade_no: &order_no,
            out_refund_no: &refund_no,
            reason: (!reason.is_empty()).then_some(reason),
            notify_url: self.notify_url(&call.notify_path),
            amount: Amount {
                refund: call.amount.get(),
                total: call.total.get(),
                currency: "CNY",
            },
        };
        let asked = Call::post(
            "refund",
            Class::Refund,
            RetryPolicy::SameNumberSparingly,
            &REFUNDS,
            &body,
        );
        let answer = self.transport.call(asked).await;
        self.refund_of(answer, &call.sub_mchid, |refund| {
            refund.out_refund_no == refund_no && refund.out_trade_no == order_no
        })
    }

    pub(super) async fn find_refund(
        &self,
        refund_no: &str,
        sub_mchid: &str,
    ) -> ChannelOutcome<ChannelRefund> {
        let mut path = REFUNDS.to_vec();
        path.push(refund_no);
        let query: Vec<_> = self
            .sub_mchid(sub_mchid)
            .map(|sub_mchid| ("sub_mchid", sub_mchid))
            .into_iter()
            .collect();
        let call = Call::get("query_refund", Class::Query, &path, &query);
        let answer = self.transport.call(call).await;
        self.refund_of(answer, sub_mchid, |refund| {
            refund.out_refund_no == refund_no
        })
    }

    /// 异常退款. The card's number and its holder's name leave encrypted, with the serial of the
    /// key that they are encrypted to.
    pub(super) async fn ask_abnormal_refund(
        &self,
        call: AbnormalRefund,
    ) -> ChannelOutcome<ChannelRefund> {
        let keys = self.keys.take();
        let card = match &call.card {
            None => None,
            Some(card) => {
                let Some(key) = keys.wechat.preferred() else {
                    return unclear("not sent: no key of WeChat's is known yet");
                };
                let (number, holder) = (key.encrypt(&card.number), key.encrypt(&card.holder));
                let (Some(number), Some(holder)) = (number, holder) else {
                    return ChannelOutcome::Refused(too_long());
                };
                Some((card.bank_type.as_str(), number, holder))
            }
        };
        let refund_no = call.refund_no.to_string();
        let (bank_type, bank_account, real_name) = match card {
            Some((bank, number, holder)) => (Some(bank), Some(number), Some(holder)),
            None => (None, None, None),
        };
        let body = Redirected {
            sub_mchid: self.sub_mchid(&call.sub_mchid),
            out_refund_no: &refund_no,
            kind: if bank_type.is_some() {
                "USER_BANK_CARD"
            } else {
                "MERCHANT_BANK_CARD"
            },
            bank_type,
            bank_account,
            real_name,
        };
        let mut path = REFUNDS.to_vec();
        path.extend([call.wechat_refund_id.as_str(), "apply-abnormal-refund"]);
        let asked = Call::post(
            "redirect_refund",
            Class::Refund,
            RetryPolicy::Never,
            &path,
            &body,
        );
        let answer = self.transport.call_with(&keys, asked).await;
        self.refund_of(answer, &call.sub_mchid, |refund| {
            refund.out_refund_no == refund_no && refund.wechat_refund_id == call.wechat_refund_id
        })
    }

    /// The refund of a proven answer, if it is the one that was asked about.
    fn refund_of(
        &self,
        answer: CallAnswer,
        sub_mchid: &str,
        asked: impl FnOnce(&ChannelRefund) -> bool,
    ) -> ChannelOutcome<ChannelRefund> {
        answer.outcome(|body| {
            let Ok(refund) = serde_json::from_slice::<Refund>(body) else {
                return unclear("the answer is not a refund");
            };
            if refund.is_of_another(&self.us, sub_mchid) {
                return unclear("the answer is about another merchant's refund");
            }
            match refund.read() {
                Some(refund) if asked(&refund) => ChannelOutcome::Done(refund),
                Some(_) => unclear("the answer is about another refund"),
                None => unclear("the answer has not all that a refund has"),
            }
        })
    }
}

/// No name and no card is; so nobody is asked.
pub(super) fn too_long() -> Refusal {
    Refusal {
        kind: RefusalKind::Rejected,
        code: "PARAM_ERROR".to_owned(),
        message: "not sent: a name or number is too long to be encrypted".to_owned(),
    }
}

#[derive(Serialize)]
struct Asked<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_mchid: Option<&'a str>,
    out_trade_no: &'a str,
    out_refund_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    notify_url: String,
    amount: Amount,
}

#[derive(Serialize)]
struct Amount {
    refund: i64,
    total: i64,
    currency: &'static str,
}

#[derive(Serialize)]
struct Redirected<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_mchid: Option<&'a str>,
    out_refund_no: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bank_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bank_account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    real_name: Option<String>,
}
