//! A refund as WeChat states it: in callbacks, and in answers to calls and queries (§5, §12.4).

use serde::Deserialize;

use super::lenient::lenient;
use crate::{
    payments::{ChannelMode, ChannelRefund, OurAccount, RefundNotice, RefundStatus},
    primitives::{Money, Timestamp},
};

/// Answers do not say whose refund it is; callbacks do.
#[derive(Debug, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names are WeChat's")]
pub(super) struct Refund {
    sp_mchid: Option<String>,
    sub_mchid: Option<String>,
    mchid: Option<String>,
    out_trade_no: String,
    #[serde(default, deserialize_with = "lenient")]
    transaction_id: Option<String>,
    out_refund_no: String,
    refund_id: String,
    /// Called one thing in an answer and another in a callback.
    #[serde(alias = "refund_status")]
    status: String,
    /// Means something once the money has arrived; before that it has been missing, null and empty.
    #[serde(default, deserialize_with = "lenient")]
    success_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient")]
    user_received_account: Option<String>,
    amount: Amount,
}

#[derive(Debug, Deserialize)]
struct Amount {
    total: i64,
    refund: i64,
    /// Not in callbacks.
    currency: Option<String>,
}

impl Refund {
    /// Who collected; none in an answer.
    pub(super) fn shape(&self) -> Option<ChannelMode> {
        match (&self.sp_mchid, &self.mchid) {
            (Some(_), _) => Some(ChannelMode::Partner),
            (None, Some(_)) => Some(ChannelMode::Direct),
            (None, None) => None,
        }
    }

    /// Where it stands, as WeChat writes it.
    pub(super) fn status(&self) -> &str {
        &self.status
    }

    /// Whether it belongs to somebody else than us and that merchant, as far as it says.
    pub(super) fn is_of_another(&self, us: &OurAccount, sub_mchid: &str) -> bool {
        let differs =
            |said: &Option<String>, is: &str| said.as_ref().is_some_and(|said| said != is);
        differs(&self.sp_mchid, &us.mchid)
            || differs(&self.mchid, &us.mchid)
            || differs(&self.sub_mchid, sub_mchid)
    }

    /// In our words; `None` when a number is missing or a state is one that we do not know.
    pub(super) fn read(self) -> Option<ChannelRefund> {
        let status = match self.status.as_str() {
            "PROCESSING" => RefundStatus::Processing,
            "SUCCESS" => RefundStatus::Success,
            "CLOSED" => RefundStatus::Closed,
            "ABNORMAL" => RefundStatus::Abnormal,
            _ => return None,
        };
        let in_yuan = self
            .amount
            .currency
            .is_none_or(|currency| currency == "CNY");
        let numbered = ![&self.out_refund_no, &self.out_trade_no, &self.refund_id]
            .iter()
            .any(|number| number.is_empty());
        let (refund, total) = (self.amount.refund, self.amount.total);
        (in_yuan && numbered).then_some(ChannelRefund {
            out_refund_no: self.out_refund_no,
            out_trade_no: self.out_trade_no,
            wechat_refund_id: self.refund_id,
            status,
            amount: Money::parse(refund).ok()?,
            total: Money::parse(total).ok()?,
            succeeded_at: self.success_time,
            received_account: self.user_received_account.filter(|text| !text.is_empty()),
        })
    }

    /// The refund of a callback, with whose it is.
    pub(super) fn notice(mut self) -> Option<RefundNotice> {
        let (sp_mchid, sub_mchid) = match (self.sp_mchid.take(), self.mchid.take()) {
            (Some(sp_mchid), _) => (sp_mchid, self.sub_mchid.take()?),
            (None, Some(mchid)) => (mchid.clone(), mchid),
            (None, None) => return None,
        };
        let wechat_transaction_id = self.transaction_id.take().filter(|id| !id.is_empty())?;
        Some(RefundNotice {
            sp_mchid,
            sub_mchid,
            wechat_transaction_id,
            refund: self.read()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"refund_id":"5030","out_refund_no":"R1","transaction_id":"4200","out_trade_no":"O1","channel":"ORIGINAL","user_received_account":"支付用户零钱","create_time":"2026-11-21T12:00:00+08:00","status":"PROCESSING","amount":{"total":1280,"refund":200,"payer_total":1280,"payer_refund":200,"settlement_refund":200,"settlement_total":1280,"discount_refund":0,"currency":"CNY"}}"#;

    fn read(text: &str) -> Option<ChannelRefund> {
        serde_json::from_str::<Refund>(text).ok()?.read()
    }

    #[test]
    fn an_answer_is_read_without_what_is_optional() {
        let refund = read(ANSWER).unwrap();
        assert_eq!(refund.status, RefundStatus::Processing);
        assert_eq!((refund.amount.get(), refund.total.get()), (200, 1280));
        assert_eq!(refund.succeeded_at, None);
        assert_eq!(refund.received_account.as_deref(), Some("支付用户零钱"));
        for time in [
            r#""success_time":"","#,
            r#""success_time":null,"#,
            r#""success_time":"0000-00-00","#,
        ] {
            let text = ANSWER.replacen('{', &format!("{{{time}"), 1);
            assert_eq!(read(&text).unwrap().succeeded_at, None);
        }
        let null = ANSWER.replace(r#""4200""#, "null");
        assert_eq!(read(&null).unwrap().status, RefundStatus::Processing);
        let done = ANSWER.replace("PROCESSING", "SUCCESS").replacen(
            '{',
            r#"{"success_time":"2026-11-21T12:00:00.120+08:00","#,
            1,
        );
        assert!(read(&done).unwrap().succeeded_at.is_some());
    }

    #[test]
    fn what_is_missing_or_unknown_is_not_guessed() {
        for (text, instead) in [
            ("PROCESSING", "PARTLY"),
            (r#""refund":200"#, r#""refund":-200"#),
            (r#""refund":200"#, r#""refund":2.5"#),
            (r#""refund":200,"#, ""),
            ("CNY", "USD"),
            ("5030", ""),
            (r#""out_refund_no":"R1","#, ""),
        ] {
            let changed = ANSWER.replacen(text, instead, 1);
            assert_ne!(changed, ANSWER);
            assert_eq!(read(&changed), None, "{instead}");
        }
    }
}
