//! Orders: prepay, query and close (§3, §4, §7).

use serde::{Deserialize, Serialize};
use time::{format_description::BorrowedFormatItem, macros::format_description, macros::offset};

use super::{
    WechatChannel,
    answer::{CallAnswer, unclear},
    breaker::Class,
    retry::RetryPolicy,
    transaction::Transaction,
    transport::Call,
};
use crate::{
    payments::{
        ChannelMode, ChannelOrder, ChannelOutcome, OurAccount, PrepayRequest, Refusal, RefusalKind,
    },
    primitives::{OrderNo, Secret, Timestamp},
};

impl WechatChannel {
    pub(super) async fn prepay_jsapi(&self, request: PrepayRequest) -> ChannelOutcome<String> {
        let Some(payer) = &request.payer_openid else {
            // WeChat would say the same.
            return ChannelOutcome::Refused(Refusal {
                kind: RefusalKind::Rejected,
                code: "PARAM_ERROR".to_owned(),
                message: "not sent: the payer is not known".to_owned(),
            });
        };
        let body = self.prepay_body(&request, Some(payer));
        let path = self.transactions("jsapi");
        let call = Call::post("prepay", Class::Pay, RetryPolicy::SameNumber, &path, &body);
        let answer = self.transport.call(call).await;
        answer.outcome(|body| match serde_json::from_slice(body) {
            Ok(PrepayAnswer { prepay_id }) if !prepay_id.is_empty() => {
                ChannelOutcome::Done(prepay_id)
            }
            Ok(_) | Err(_) => unclear("the answer has no prepay_id"),
        })
    }

    /// Native (§7): whoever scans the code pays.
    pub(super) async fn prepay_code(&self, request: PrepayRequest) -> ChannelOutcome<String> {
        let body = self.prepay_body(&request, None);
        let path = self.transactions("native");
        let call = Call::post(
            "prepay_native",
            Class::Pay,
            RetryPolicy::SameNumber,
            &path,
            &body,
        );
        let answer = self.transport.call(call).await;
        answer.outcome(|body| match serde_json::from_slice(body) {
            Ok(Code { code_url }) if code_url.starts_with("weixin://") => {
                ChannelOutcome::Done(code_url)
            }
            Ok(_) | Err(_) => unclear("the answer has no code_url"),
        })
    }

    pub(super) async fn find_by_number(
        &self,
        order_no: OrderNo,
        sub_mchid: &str,
    ) -> ChannelOutcome<ChannelOrder> {
        let number = order_no.to_string();
        let (mut path, query) = (self.transactions("out-trade-no"), self.whose(sub_mchid));
        path.push(&number);
        let call = Call::get("query", Class::Query, &path, &query);
        self.found(self.transport.call(call).await, sub_mchid, |order| {
            order.has_number(&number)
        })
    }

    pub(super) async fn find_by_transaction(
        &self,
        wechat_transaction_id: &str,
        sub_mchid: &str,
    ) -> ChannelOutcome<ChannelOrder> {
        let (mut path, query) = (self.transactions("id"), self.whose(sub_mchid));
        path.push(wechat_transaction_id);
        let call = Call::get("query_by_transaction", Class::Query, &path, &query);
        self.found(self.transport.call(call).await, sub_mchid, |order| {
            order.has_transaction(wechat_transaction_id)
        })
    }

    /// §4: answered with 204; may be repeated.
    pub(super) async fn close_order(
        &self,
        order_no: OrderNo,
        sub_mchid: &str,
    ) -> ChannelOutcome<()> {
        let number = order_no.to_string();
        let mut path = self.transactions("out-trade-no");
        path.extend([number.as_str(), "close"]);
        let body = match self.us.mode {
            ChannelMode::Partner => Whose {
                sp_mchid: Some(&self.us.mchid),
                sub_mchid: Some(sub_mchid),
                mchid: None,
            },
            ChannelMode::Direct => Whose {
                sp_mchid: None,
                sub_mchid: None,
                mchid: Some(&self.us.mchid),
            },
        };
        let call = Call::post("close", Class::Pay, RetryPolicy::SameNumber, &path, &body);
        let answer = self.transport.call(call).await;
        answer.outcome(|_| ChannelOutcome::Done(()))
    }

    /// Where orders are in our mode, and on from there.
    fn transactions<'a>(&self, then: &'a str) -> Vec<&'a str> {
        match self.us.mode {
            ChannelMode::Partner => vec!["v3", "pay", "partner", "transactions", then],
            ChannelMode::Direct => vec!["v3", "pay", "transactions", then],
        }
    }

    fn whose<'a>(&'a self, sub_mchid: &'a str) -> Vec<(&'static str, &'a str)> {
        match self.us.mode {
            ChannelMode::Partner => vec![("sp_mchid", &self.us.mchid), ("sub_mchid", sub_mchid)],
            ChannelMode::Direct => vec![("mchid", &self.us.mchid)],
        }
    }

    /// Byte for byte equal for equal requests: WeChat compares when a number comes again (§3.2).
    fn prepay_body<'a>(
        &'a self,
        request: &'a PrepayRequest,
        payer: Option<&'a Secret<String>>,
    ) -> Prepay<'a> {
        let openid = payer.map(|openid| openid.expose().as_str());
        let (app_id, mchid) = (self.us.app_id.as_str(), self.us.mchid.as_str());
        let partner = self.us.mode == ChannelMode::Partner;
        Prepay {
            sp_appid: partner.then_some(app_id),
            sp_mchid: partner.then_some(mchid),
            sub_mchid: partner.then_some(&request.sub_mchid),
            appid: (!partner).then_some(app_id),
            mchid: (!partner).then_some(mchid),
            description: &request.description,
            out_trade_no: request.order_no,
            time_expire: beijing(request.expires_at),
            notify_url: self.notify_url(&request.notify_path),
            settle_info: request.profit_sharing.then_some(SettleInfo {
                profit_sharing: true,
            }),
            amount: Amount {
                total: request.amount.get(),
                currency: "CNY",
            },
            payer: openid.map(|openid| Payer {
                sp_openid: partner.then_some(openid),
                openid: (!partner).then_some(openid),
            }),
        }
    }

    /// What a query found, if the answer is about what was asked.
    fn found(
        &self,
        answer: CallAnswer,
        sub_mchid: &str,
        asked: impl FnOnce(&Transaction<'_>) -> bool,
    ) -> ChannelOutcome<ChannelOrder> {
        match answer {
            CallAnswer::Refused(no) if no.kind == RefusalKind::Absent => {
                ChannelOutcome::Done(ChannelOrder::Absent)
            }
            answer @ (CallAnswer::Done(_) | CallAnswer::Refused(_) | CallAnswer::Unknown(_)) => {
                answer.outcome(|body| found(body, &self.us, sub_mchid, asked))
            }
        }
    }
}

/// What a proven answer to a query says.
fn found(
    body: &[u8],
    us: &OurAccount,
    sub_mchid: &str,
    asked: impl FnOnce(&Transaction<'_>) -> bool,
) -> ChannelOutcome<ChannelOrder> {
    let Ok(order) = serde_json::from_slice::<Transaction<'_>>(body) else {
        return unclear("the answer is not an order");
    };
    if !asked(&order) || !order.is_of(us, sub_mchid) {
        return unclear("the answer is about another order");
    }
    match order.state() {
        "" => unclear("the answer has no state"),
        // A refund is started of what is paid (§10).
        state @ ("SUCCESS" | "REFUND") => {
            let refunded = state == "REFUND";
            match order.paid() {
                Some(notice) => ChannelOutcome::Done(ChannelOrder::Paid { notice, refunded }),
                None => unclear("the answer says paid and not what"),
            }
        }
        "CLOSED" => ChannelOutcome::Done(ChannelOrder::Closed),
        state => ChannelOutcome::Done(ChannelOrder::NotPaid(state.to_owned())),
    }
}

#[derive(Deserialize)]
struct PrepayAnswer {
    prepay_id: String,
}

#[derive(Deserialize)]
struct Code {
    code_url: String,
}

/// Unknown members and nulls are refused by WeChat (§0), so what is not needed is not here.
#[derive(Serialize)]
struct Prepay<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sp_appid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sp_mchid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_mchid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    appid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mchid: Option<&'a str>,
    description: &'a str,
    out_trade_no: OrderNo,
    time_expire: String,
    notify_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    settle_info: Option<SettleInfo>,
    amount: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<Payer<'a>>,
}

#[derive(Serialize)]
struct SettleInfo {
    profit_sharing: bool,
}

#[derive(Serialize)]
struct Amount {
    total: i64,
    currency: &'static str,
}

#[derive(Serialize)]
struct Payer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sp_openid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    openid: Option<&'a str>,
}

#[derive(Serialize)]
struct Whose<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sp_mchid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_mchid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mchid: Option<&'a str>,
}

const WHOLE_SECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]+08:00");

/// As WeChat writes times: at +08:00, whole seconds.
fn beijing(at: Timestamp) -> String {
    at.datetime()
        .to_offset(offset!(+8))
        .format(WHOLE_SECONDS)
        .expect("a date and time has all that the format asks for")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(mode: ChannelMode) -> OurAccount {
        OurAccount {
            mode,
            mchid: "19".to_owned(),
            app_id: "wx".to_owned(),
        }
    }

    #[test]
    fn times_are_in_beijing_and_whole() {
        let at = Timestamp::parse_rfc3339("2026-11-21T20:00:05.9Z").unwrap();
        assert_eq!(beijing(at), "2026-11-22T04:00:05+08:00");
    }

    #[test]
    fn an_answer_about_another_order_is_not_accepted() {
        let body =
            r#"{"out_trade_no":"A","sp_mchid":"19","sub_mchid":"20","trade_state":"NOTPAY"}"#;
        let ask = |body: &str, number: &str, sub_mchid: &str, mode| {
            let us = us(mode);
            found(body.as_bytes(), &us, sub_mchid, |order| {
                order.has_number(number)
            })
        };
        let partner =
            |body: &str, number, sub_mchid| ask(body, number, sub_mchid, ChannelMode::Partner);
        assert!(matches!(
            partner(body, "B", "20"),
            ChannelOutcome::Unknown(_)
        ));
        assert!(matches!(
            partner(body, "A", "21"),
            ChannelOutcome::Unknown(_)
        ));
        let theirs = body.replace(r#""19""#, r#""18""#);
        assert!(matches!(
            partner(&theirs, "A", "20"),
            ChannelOutcome::Unknown(_)
        ));
        let ChannelOutcome::Done(order) = partner(body, "A", "20") else {
            panic!("it is the one")
        };
        assert_eq!(order, ChannelOrder::NotPaid("NOTPAY".to_owned()));
        let closed = body.replace("NOTPAY", "CLOSED");
        let ChannelOutcome::Done(order) = partner(&closed, "A", "20") else {
            panic!("it is the one")
        };
        assert_eq!(order, ChannelOrder::Closed);
        // What has no meaning before it is paid may be of any form: these have come.
        for odd in [
            r#""amount":{"payer_currency":"CNY"},"#,
            r#""amount":{"total":null},"#,
            r#""success_time":"","#,
            r#""success_time":null,"payer":null,"transaction_id":null,"#,
            r#""payer":{},"promotion_detail":[],"scene_info":{"device_id":""},"#,
        ] {
            for (state, is) in [
                ("NOTPAY", ChannelOrder::NotPaid("NOTPAY".to_owned())),
                ("CLOSED", ChannelOrder::Closed),
            ] {
                let text = body
                    .replace("NOTPAY", state)
                    .replacen('{', &format!("{{{odd}"), 1);
                let ChannelOutcome::Done(order) = partner(&text, "A", "20") else {
                    panic!("{text}")
                };
                assert_eq!(order, is);
            }
            let paid = body.replace("NOTPAY", "SUCCESS");
            let paid = paid.replacen('{', &format!("{{{odd}"), 1);
            assert!(matches!(
                partner(&paid, "A", "20"),
                ChannelOutcome::Unknown(_)
            ));
        }
        for state in ["SUCCESS", "REFUND", ""] {
            let bare = body.replace("NOTPAY", state);
            assert!(matches!(
                partner(&bare, "A", "20"),
                ChannelOutcome::Unknown(_)
            ));
        }

        let direct = r#"{"out_trade_no":"A","mchid":"19","trade_state":"NOTPAY"}"#;
        let ask = |body, sub_mchid| ask(body, "A", sub_mchid, ChannelMode::Direct);
        assert!(matches!(ask(direct, "19"), ChannelOutcome::Done(_)));
        assert!(matches!(ask(direct, "20"), ChannelOutcome::Unknown(_)));
        assert!(matches!(ask(body, "20"), ChannelOutcome::Unknown(_)));
    }
}
