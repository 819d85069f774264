//! Profit sharing 分账, behind `sharing::SharingChannel` (§8).
//!
//! A share, a release and a return each have a number of ours, under which they happen once. A
//! finished share need not have succeeded: each receiver's part has its own result.

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{
    WechatChannel, answer::unclear, breaker::Class, lenient::lenient, refunds::too_long,
    retry::RetryPolicy, transport::Call,
};
use crate::{
    payments::{ChannelMode, ChannelOutcome},
    primitives::{Money, Secret, SharingNo, SharingReturnNo, Timestamp},
    sharing::{
        ChannelPart, ChannelReturn, ChannelShare, PartResult, ReceiverCall, ReceiverKind,
        ReturnCall, ReturnResult, ShareCall, SharingChannel,
    },
};

/// What of a description is sent, bytes.
const DESCRIPTION_MAX_BYTES: usize = 80;

/// What a merchant may share unless WeChat has agreed to more, in ten-thousandths. Direct merchants
/// have no call to ask.
const RATIO_BY_DEFAULT: u32 = 3_000;

impl SharingChannel for WechatChannel {
    fn add_receiver(&self, call: ReceiverCall) -> BoxFuture<'_, ChannelOutcome<()>> {
        Box::pin(self.receiver("add", call))
    }

    fn delete_receiver(&self, call: ReceiverCall) -> BoxFuture<'_, ChannelOutcome<()>> {
        Box::pin(self.receiver("delete", call))
    }

    fn ratio_max<'a>(&'a self, sub_mchid: &'a str) -> BoxFuture<'a, ChannelOutcome<u32>> {
        Box::pin(self.ask_ratio(sub_mchid))
    }

    fn share(&self, call: ShareCall) -> BoxFuture<'_, ChannelOutcome<ChannelShare>> {
        Box::pin(self.ask_share(call))
    }

    fn query_share<'a>(
        &'a self,
        sharing_no: SharingNo,
        wechat_transaction_id: &'a str,
        sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelShare>> {
        Box::pin(self.find_share(sharing_no, wechat_transaction_id, sub_mchid))
    }

    fn left_to_share<'a>(
        &'a self,
        wechat_transaction_id: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<Money>> {
        Box::pin(self.ask_left(wechat_transaction_id))
    }

    fn return_share(&self, call: ReturnCall) -> BoxFuture<'_, ChannelOutcome<ChannelReturn>> {
        Box::pin(self.ask_return(call))
    }

    fn query_return<'a>(
        &'a self,
        return_no: SharingReturnNo,
        sharing_no: SharingNo,
        sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelReturn>> {
        Box::pin(self.find_return(return_no, sharing_no, sub_mchid))
    }
}

impl WechatChannel {
    async fn receiver(&self, what: &'static str, call: ReceiverCall) -> ChannelOutcome<()> {
        let adds = what == "add";
        let keys = self.keys.take();
        let name = match call.name.as_ref().filter(|_| adds) {
            None => None,
            Some(name) => {
                let Some(key) = keys.wechat.preferred() else {
                    return unclear("not sent: no key of WeChat's is known yet");
                };
                let Some(name) = key.encrypt(name) else {
                    return ChannelOutcome::Refused(too_long());
                };
                Some(name)
            }
        };
        let body = Receiver {
            sub_mchid: self.sub_mchid(&call.sub_mchid),
            appid: &self.us.app_id,
            kind: word(call.kind),
            account: call.account.expose(),
            name,
            relation_type: adds.then_some(call.relation.as_str()),
        };
        let path = ["v3", "profitsharing", "receivers", what];
        let metric = if adds {
            "sharing_add_receiver"
        } else {
            "sharing_delete_receiver"
        };
        let asked = Call::post(metric, Class::Sharing, RetryPolicy::Never, &path, &body);
        let answer = self.transport.call_with(&keys, asked).await;
        answer.outcome(|_| ChannelOutcome::Done(()))
    }

    async fn ask_ratio(&self, sub_mchid: &str) -> ChannelOutcome<u32> {
        if self.us.mode == ChannelMode::Direct {
            return ChannelOutcome::Done(RATIO_BY_DEFAULT);
        }
        let path = ["v3", "profitsharing", "merchant-configs", sub_mchid];
        let call = Call::get("sharing_ratio", Class::Sharing, &path, &[]);
        let answer = self.transport.call(call).await;
        answer.outcome(|body| match serde_json::from_slice::<Ratio>(body) {
            Ok(said) if said.sub_mchid == sub_mchid && said.max_ratio <= 10_000 => {
                ChannelOutcome::Done(said.max_ratio)
            }
            Ok(_) => unclear("the answer is about another merchant, or no ratio"),
            Err(_) => unclear("the answer has no ratio"),
        })
    }

    async fn ask_share(&self, call: ShareCall) -> ChannelOutcome<ChannelShare> {
        let number = call.sharing_no.to_string();
        let description = cut(&call.description);
        let receivers = call.parts.iter().map(|part| Part {
            kind: word(part.kind),
            account: part.account.expose(),
            amount: part.amount.get(),
            description: cut(&part.description),
        });
        let receivers: Vec<_> = receivers.collect();
        let releases = receivers.is_empty();
        let body = Share {
            sub_mchid: self.sub_mchid(&call.sub_mchid),
            appid: (!releases).then_some(&self.us.app_id),
            transaction_id: &call.wechat_transaction_id,
            out_order_no: &number,
            description: releases.then_some(description),
            unfreeze_unsplit: (!releases).then_some(call.release_rest),
            receivers: (!releases).then_some(receivers),
        };
        let mut path = vec!["v3", "profitsharing", "orders"];
        let name = if releases {
            path.push("unfreeze");
            "sharing_release"
        } else {
            "sharing_share"
        };
        let asked = Call::post(
            name,
            Class::Sharing,
            // Each attempt is written down before it is made: what may have got through is not
            // followed by another that nobody knows of.
            RetryPolicy::Never,
            &path,
            &body,
        );
        let answer = self.transport.call(asked).await;
        answer.outcome(|body| {
            Self::share_of(body, &number, &call.wechat_transaction_id, &call.sub_mchid)
        })
    }

    async fn find_share(
        &self,
        sharing_no: SharingNo,
        wechat_transaction_id: &str,
        sub_mchid: &str,
    ) -> ChannelOutcome<ChannelShare> {
        let number = sharing_no.to_string();
        let path = ["v3", "profitsharing", "orders", number.as_str()];
        let mut query = vec![("transaction_id", wechat_transaction_id)];
        query.extend(
            self.sub_mchid(sub_mchid)
                .map(|sub_mchid| ("sub_mchid", sub_mchid)),
        );
        let call = Call::get("sharing_query", Class::Sharing, &path, &query);
        let answer = self.transport.call(call).await;
        answer.outcome(|body| Self::share_of(body, &number, wechat_transaction_id, sub_mchid))
    }

    async fn ask_left(&self, wechat_transaction_id: &str) -> ChannelOutcome<Money> {
        let path = [
            "v3",
            "profitsharing",
            "transactions",
            wechat_transaction_id,
            "amounts",
        ];
        let call = Call::get("sharing_left", Class::Sharing, &path, &[]);
        let answer = self.transport.call(call).await;
        answer.outcome(|body| match serde_json::from_slice::<Left>(body) {
            Ok(left) if left.transaction_id == wechat_transaction_id => {
                ChannelOutcome::Done(left.unsplit_amount)
            }
            Ok(_) => unclear("the answer is about another payment"),
            Err(_) => unclear("the answer has no amount"),
        })
    }

    async fn ask_return(&self, call: ReturnCall) -> ChannelOutcome<ChannelReturn> {
        let (number, shared) = (call.return_no.to_string(), call.sharing_no.to_string());
        let body = Return {
            sub_mchid: self.sub_mchid(&call.sub_mchid),
            out_order_no: &shared,
            out_return_no: &number,
            return_mchid: &call.from,
            amount: call.amount.get(),
            description: cut(&call.description),
        };
        let asked = Call::post(
            "sharing_return",
            Class::Sharing,
            RetryPolicy::Never,
            &["v3", "profitsharing", "return-orders"],
            &body,
        );
        let answer = self.transport.call(asked).await;
        answer.outcome(|body| Self::return_of(body, &number, &shared, &call.sub_mchid))
    }

    async fn find_return(
        &self,
        return_no: SharingReturnNo,
        sharing_no: SharingNo,
        sub_mchid: &str,
    ) -> ChannelOutcome<ChannelReturn> {
        let (number, shared) = (return_no.to_string(), sharing_no.to_string());
        let path = ["v3", "profitsharing", "return-orders", number.as_str()];
        let mut query = vec![("out_order_no", shared.as_str())];
        query.extend(
            self.sub_mchid(sub_mchid)
                .map(|sub_mchid| ("sub_mchid", sub_mchid)),
        );
        let call = Call::get("sharing_query_return", Class::Sharing, &path, &query);
        let answer = self.transport.call(call).await;
        answer.outcome(|body| Self::return_of(body, &number, &shared, sub_mchid))
    }

    fn share_of(
        body: &[u8],
        number: &str,
        transaction: &str,
        sub_mchid: &str,
    ) -> ChannelOutcome<ChannelShare> {
        let Ok(said) = serde_json::from_slice::<Shared>(body) else {
            return unclear("the answer is not a share");
        };
        if said.out_order_no != number
            || said.transaction_id != transaction
            || is_other_mchid(said.sub_mchid.as_deref(), sub_mchid)
        {
            return unclear("the answer is about another share");
        }
        let finished = match said.state.as_str() {
            "PROCESSING" => false,
            "FINISHED" => true,
            state => return unclear(format!("the share is in the state {state}")),
        };
        let receivers = said.receivers.unwrap_or_default();
        if let Some(word) = receivers.iter().find_map(SharedPart::strange) {
            return unclear(format!("a receiver's part has the result {word}"));
        }
        let parts = receivers.into_iter().map(|part| part.read(finished));
        let parts = match parts.collect::<Option<Vec<_>>>() {
            Some(parts) => parts,
            None if finished => return unclear("a receiver's part has not all that a part has"),
            // WeChat has it and is at it: what becomes of the parts it will say.
            None => Vec::new(),
        };
        ChannelOutcome::Done(ChannelShare {
            wechat_order_id: said.order_id,
            finished,
            parts,
        })
    }

    fn return_of(
        body: &[u8],
        number: &str,
        shared: &str,
        sub_mchid: &str,
    ) -> ChannelOutcome<ChannelReturn> {
        let Ok(said) = serde_json::from_slice::<Returned>(body) else {
            return unclear("the answer is not a return");
        };
        if said.out_return_no != number
            || said.out_order_no.is_some_and(|order| order != shared)
            || is_other_mchid(said.sub_mchid.as_deref(), sub_mchid)
        {
            return unclear("the answer is about another return");
        }
        let result = match said.result.as_str() {
            "PROCESSING" => ReturnResult::Processing,
            "SUCCESS" => ReturnResult::Success,
            "FAILED" => ReturnResult::Failed,
            result => return unclear(format!("the return has the result {result}")),
        };
        ChannelOutcome::Done(ChannelReturn {
            wechat_return_id: said.return_id,
            result,
            fail_reason: reason_if(result == ReturnResult::Failed, said.fail_reason),
            amount: said.amount,
        })
    }
}

/// Answers in direct mode name no merchant, or an empty one.
fn is_other_mchid(said: Option<&str>, sub_mchid: &str) -> bool {
    said.is_some_and(|said| !said.is_empty() && said != sub_mchid)
}

/// Why something failed means nothing of what did not, and is no reason when it is empty.
fn reason_if(failed: bool, reason: Option<String>) -> Option<String> {
    reason.filter(|reason| failed && !reason.is_empty())
}

/// WeChat's code.
const fn word(kind: ReceiverKind) -> &'static str {
    match kind {
        ReceiverKind::Merchant => "MERCHANT_ID",
        ReceiverKind::Person => "PERSONAL_OPENID",
    }
}

fn cut(description: &str) -> &str {
    &description[..description.floor_char_boundary(DESCRIPTION_MAX_BYTES)]
}

#[derive(Serialize)]
struct Receiver<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_mchid: Option<&'a str>,
    appid: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    account: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relation_type: Option<&'a str>,
}

/// A share, or with no receivers a release.
#[derive(Serialize)]
struct Share<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_mchid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    appid: Option<&'a str>,
    transaction_id: &'a str,
    out_order_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receivers: Option<Vec<Part<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unfreeze_unsplit: Option<bool>,
}

#[derive(Serialize)]
struct Part<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    account: &'a str,
    amount: i64,
    description: &'a str,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the names are WeChat's")]
struct Return<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_mchid: Option<&'a str>,
    out_order_no: &'a str,
    out_return_no: &'a str,
    return_mchid: &'a str,
    amount: i64,
    description: &'a str,
}

#[derive(Deserialize)]
struct Ratio {
    sub_mchid: String,
    max_ratio: u32,
}

#[derive(Deserialize)]
struct Left {
    transaction_id: String,
    unsplit_amount: Money,
}

#[derive(Deserialize)]
struct Shared {
    sub_mchid: Option<String>,
    transaction_id: String,
    out_order_no: String,
    order_id: String,
    state: String,
    /// What became of each means something once the share is finished. A release has none.
    #[serde(default, deserialize_with = "lenient")]
    receivers: Option<Vec<SharedPart>>,
}

#[derive(Deserialize)]
struct SharedPart {
    #[serde(default, deserialize_with = "lenient")]
    account: Option<Secret<String>>,
    #[serde(default, deserialize_with = "lenient")]
    amount: Option<Money>,
    #[serde(default, deserialize_with = "lenient")]
    result: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    fail_reason: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    finish_time: Option<Timestamp>,
}

impl SharedPart {
    /// A result that we do not know. It may be one that is final.
    fn strange(&self) -> Option<&str> {
        let result = self.result.as_deref()?;
        (!matches!(result, "" | "PENDING" | "SUCCESS" | "CLOSED")).then_some(result)
    }

    /// In our words; `None` when something is missing that means something.
    fn read(self, finished: bool) -> Option<ChannelPart> {
        let result = match self.result.as_deref().unwrap_or_default() {
            "PENDING" => PartResult::Pending,
            "SUCCESS" => PartResult::Success,
            "CLOSED" => PartResult::Closed,
            _ if finished => return None,
            // There is none yet.
            _ => PartResult::Pending,
        };
        Some(ChannelPart {
            account: self.account?,
            amount: self.amount?,
            result,
            fail_reason: reason_if(result == PartResult::Closed, self.fail_reason),
            // What is not finished has a time all the same: WeChat fills in the beginning of 1970.
            finished_at: self.finish_time.filter(|at| at.seconds() > 24 * 3600),
        })
    }
}

#[derive(Deserialize)]
struct Returned {
    sub_mchid: Option<String>,
    out_order_no: Option<String>,
    out_return_no: String,
    return_id: String,
    result: String,
    #[serde(default, deserialize_with = "lenient")]
    fail_reason: Option<String>,
    amount: Money,
}
