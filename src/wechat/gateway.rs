//! WeChat Pay as a payment channel, in partner mode 服务商: we collect for shops.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use time::{format_description::BorrowedFormatItem, macros::format_description, macros::offset};

use super::{
    answer::{Answer, normal},
    error::WechatError,
    keys::ContentKeys,
    notice,
    transaction::Transaction,
    transport::Transport,
};
use crate::{
    config::WechatSettings,
    payments::{
        ChannelOrder, Gateway, Notice, NoticeError, NoticeHeaders, Outcome, PaidNotice,
        PayParameters, PrepayRequest,
    },
    primitives::{Clock, IdSource, OrderNo, Timestamp},
};

/// Our account at WeChat Pay.
#[derive(Debug)]
pub struct WechatGateway {
    app_id: String,
    sp_mchid: String,
    notify_base: String,
    transport: Transport,
    content: ContentKeys,
}

impl WechatGateway {
    /// Parses every key. `ids` makes nonces, `clock` dates requests and judges the age of answers.
    pub fn new(
        settings: &WechatSettings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Self, WechatError> {
        Ok(Self {
            app_id: settings.app_id.clone(),
            sp_mchid: settings.sp_mchid.clone(),
            notify_base: settings
                .notify_base
                .as_str()
                .trim_end_matches('/')
                .to_owned(),
            transport: Transport::new(settings, clock, ids)?,
            content: ContentKeys::parse(settings)?,
        })
    }

    async fn order_ticket(&self, request: PrepayRequest) -> Outcome<String> {
        let url = self
            .transport
            .address(&["v3", "pay", "partner", "transactions", "jsapi"], &[]);
        let body = serde_json::to_vec(&self.prepay_body(&request))
            .expect("a struct of text and numbers is JSON");
        match self
            .transport
            .call("prepay", Method::POST, url, Some(body))
            .await
        {
            Answer::Done(body) => match serde_json::from_slice(&body) {
                Ok(Ticket { prepay_id }) if !prepay_id.is_empty() => Outcome::Done(prepay_id),
                Ok(_) | Err(_) => Outcome::Unknown("the answer has no prepay_id".to_owned()),
            },
            Answer::Refused(no) => Outcome::Refused(no.refusal),
            Answer::Unknown(reason) => Outcome::Unknown(reason),
        }
    }

    /// The same for the same request, byte for byte: WeChat compares when a number comes again (§3.2).
    fn prepay_body<'a>(&'a self, request: &'a PrepayRequest) -> Prepay<'a> {
        Prepay {
            sp_appid: &self.app_id,
            sp_mchid: &self.sp_mchid,
            sub_mchid: &request.sub_mchid,
            description: &request.description,
            out_trade_no: request.order_no,
            time_expire: beijing(request.expires_at),
            notify_url: format!("{}{}", self.notify_base, request.notify_path),
            amount: Amount {
                total: request.amount.get(),
                currency: "CNY",
            },
            payer: Payer {
                sp_openid: request.payer_openid.expose(),
            },
        }
    }

    async fn look_up(&self, order_no: OrderNo, sub_mchid: &str) -> Outcome<ChannelOrder> {
        let number = order_no.to_string();
        let url = self.transport.address(
            &[
                "v3",
                "pay",
                "partner",
                "transactions",
                "out-trade-no",
                &number,
            ],
            &[("sp_mchid", &self.sp_mchid), ("sub_mchid", sub_mchid)],
        );
        match self.transport.call("query", Method::GET, url, None).await {
            Answer::Done(body) => found(&body, &number, sub_mchid),
            Answer::Refused(no) if is_absence(&no.refusal.code) => {
                if no.proven {
                    Outcome::Done(ChannelOrder::Absent)
                } else {
                    Outcome::Unknown(
                        "an unsigned answer says that there is no such order".to_owned(),
                    )
                }
            }
            Answer::Refused(no) => Outcome::Refused(no.refusal),
            Answer::Unknown(reason) => Outcome::Unknown(reason),
        }
    }
}

impl Gateway for WechatGateway {
    fn prepay(&self, request: PrepayRequest) -> BoxFuture<'_, Outcome<String>> {
        Box::pin(self.order_ticket(request))
    }

    /// §3.3. The first signed line is the mini-program's id although the mini-program does not pass it.
    fn pay_parameters(&self, prepay_id: &str, now: Timestamp) -> PayParameters {
        let (time_stamp, nonce_str) = (now.seconds().to_string(), self.transport.nonce());
        let package = format!("prepay_id={prepay_id}");
        let message = format!("{}\n{time_stamp}\n{nonce_str}\n{package}\n", self.app_id);
        let pay_sign = self.transport.merchant.sign(message.as_bytes());
        PayParameters {
            time_stamp,
            nonce_str,
            package,
            sign_type: "RSA".to_owned(),
            pay_sign,
        }
    }

    fn query(&self, order_no: OrderNo, sub_mchid: &str) -> BoxFuture<'_, Outcome<ChannelOrder>> {
        let sub_mchid = sub_mchid.to_owned();
        Box::pin(async move { self.look_up(order_no, &sub_mchid).await })
    }

    fn read_notice(
        &self,
        headers: NoticeHeaders<'_>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Notice, NoticeError> {
        notice::read(&self.transport.wechat, &self.content, headers, body, now)
    }

    fn is_ours(&self, notice: &PaidNotice) -> bool {
        notice.sp_mchid == self.sp_mchid && notice.app_id == self.app_id
    }
}

/// What a proven answer to a query says.
fn found(body: &[u8], number: &str, sub_mchid: &str) -> Outcome<ChannelOrder> {
    let Ok(order) = serde_json::from_slice::<Transaction<'_>>(body) else {
        return Outcome::Unknown("the answer is not an order".to_owned());
    };
    if !order.is(number, sub_mchid) {
        return Outcome::Unknown("the answer is about another order".to_owned());
    }
    match order.state() {
        "" => Outcome::Unknown("the answer has no state".to_owned()),
        "SUCCESS" => match order.paid() {
            Some(notice) => Outcome::Done(ChannelOrder::Paid(notice)),
            None => Outcome::Unknown("the answer says paid and not what".to_owned()),
        },
        state => Outcome::Done(ChannelOrder::NotPaid(state.to_owned())),
    }
}

fn is_absence(code: &str) -> bool {
    ["ORDERNOTEXIST", "RESOURCENOTEXISTS"].contains(&&*normal(code))
}

#[derive(Deserialize)]
struct Ticket {
    prepay_id: String,
}

/// Unknown members and nulls are refused by WeChat (§0), so what is not needed is not here.
#[derive(Serialize)]
struct Prepay<'a> {
    sp_appid: &'a str,
    sp_mchid: &'a str,
    sub_mchid: &'a str,
    description: &'a str,
    out_trade_no: OrderNo,
    time_expire: String,
    notify_url: String,
    amount: Amount,
    payer: Payer<'a>,
}

#[derive(Serialize)]
struct Amount {
    total: i64,
    currency: &'static str,
}

#[derive(Serialize)]
struct Payer<'a> {
    sp_openid: &'a str,
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

    #[test]
    fn times_are_in_beijing_and_whole() {
        let at = Timestamp::parse_rfc3339("2026-11-21T20:00:05.9Z").unwrap();
        assert_eq!(beijing(at), "2026-11-22T04:00:05+08:00");
    }

    #[test]
    fn an_answer_about_another_order_is_not_believed() {
        let body = br#"{"out_trade_no":"A","sub_mchid":"19","trade_state":"NOTPAY"}"#;
        assert!(matches!(found(body, "B", "19"), Outcome::Unknown(_)));
        assert!(matches!(found(body, "A", "18"), Outcome::Unknown(_)));
        let Outcome::Done(order) = found(body, "A", "19") else {
            panic!("it is the one")
        };
        assert_eq!(order, ChannelOrder::NotPaid("NOTPAY".to_owned()));
        let bare = br#"{"out_trade_no":"A","sub_mchid":"19","trade_state":"SUCCESS"}"#;
        assert!(matches!(found(bare, "A", "19"), Outcome::Unknown(_)));
    }
}
