//! Subscribe messages (订阅消息, §13.4).

use std::collections::BTreeMap;

use serde::Serialize;

use super::{MiniProgram, call::nothing_more};
use crate::{
    deliveries::{CustomerMessage, MessageOutcome},
    merchants::ProgramVersion,
    payments::{ChannelOutcome, RefusalKind},
};

/// The customer has not agreed, or has used up the agreement: one consent is one message.
const NOT_SUBSCRIBED: &str = "43101";
/// Another message to the same person is on its way.
const ONE_AT_A_TIME: &str = "43108";

#[derive(Serialize)]
struct Request<'a> {
    touser: &'a str,
    template_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'a str>,
    data: BTreeMap<&'a str, Value<'a>>,
    miniprogram_state: &'static str,
    lang: &'static str,
}

#[derive(Serialize)]
struct Value<'a> {
    value: &'a str,
}

impl MiniProgram {
    pub(super) async fn subscribe_message(
        &self,
        message: &CustomerMessage,
    ) -> ChannelOutcome<MessageOutcome> {
        let request = Request {
            touser: message.openid.expose(),
            template_id: &message.template_id,
            page: message.page.as_deref(),
            data: message
                .data
                .iter()
                .map(|(field, value)| (field.as_str(), Value { value }))
                .collect(),
            miniprogram_state: match message.program {
                ProgramVersion::Developer => "developer",
                ProgramVersion::Trial => "trial",
                ProgramVersion::Formal => "formal",
            },
            lang: "zh_CN",
        };
        let path = ["cgi-bin", "message", "subscribe", "send"];
        match nothing_more(self.post("subscribe_message", &path, &request).await) {
            ChannelOutcome::Done(()) => ChannelOutcome::Done(MessageOutcome::Taken),
            ChannelOutcome::Refused(no) if no.code == NOT_SUBSCRIBED => {
                ChannelOutcome::Done(MessageOutcome::NotSubscribed)
            }
            ChannelOutcome::Refused(mut no) => {
                if no.code == ONE_AT_A_TIME {
                    no.kind = RefusalKind::RateLimited;
                }
                ChannelOutcome::Refused(no)
            }
            ChannelOutcome::Unknown(reason) => ChannelOutcome::Unknown(reason),
        }
    }
}
