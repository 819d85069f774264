//! The API of our mini-program at WeChat (`api.weixin.qq.com`, §13): login, access token, code
//! pictures, messages, shipping reports.
//!
//! Nothing here is signed. An answer is HTTP 200 with an `errcode`, which successful answers may
//! omit, and its content type is meaningless, so the body decides (`call.rs`). The outcomes are
//! done, refused (by an `errcode` that means so) and unknown (everything else). A refusal of our
//! *token* is unknown, since it says nothing about the call.
//!
//! # The access token
//!
//! All processes share one token (`token.rs`). In WeChat's normal mode every request returns the
//! current token, which is renewed in its last five minutes while the old one still works; so
//! requests are harmless, but must not be too frequent. The token is kept in Redis, and a short
//! lease there lets one process request it while the others wait or use the old one. Without Redis
//! each process requests it for itself. Force mode, which invalidates the token of all others, is
//! never used.
//!
//! # What is secret
//!
//! The login's URL carries our secret, and every other URL the token: no URL is ever logged, and
//! error messages are made without it (`http.rs` of the parent).

mod call;
mod code_picture;
mod login;
mod message;
mod shipping;
mod token;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::Client;
use url::Url;

use super::{error::WechatError, http};
use crate::{
    cache::Cache,
    config::WechatSettings,
    deliveries::{CustomerMessage, MessageOutcome, Notifier, ShippingReport},
    merchants::{CodeDrawing, DrawingFailure, MiniProgramCodes},
    payments::ChannelOutcome,
    primitives::{Clock, Secret, SystemClock},
};
use token::AccessTokens;

/// Our mini-program at WeChat.
#[derive(Debug)]
pub struct MiniProgram {
    client: Client,
    base: Url,
    app_id: String,
    app_secret: Secret<String>,
    tokens: AccessTokens,
}

impl MiniProgram {
    /// By itself: with an access token of its own. See [`MiniProgram::sharing`].
    pub fn new(settings: &WechatSettings) -> Result<Self, WechatError> {
        Ok(Self {
            client: http::client(settings.allow_loopback_http)?,
            base: settings.mini_program_url.clone(),
            app_id: settings.app_id.clone(),
            app_secret: settings.app_secret.clone(),
            tokens: AccessTokens::alone(Arc::new(SystemClock)),
        })
    }

    /// Shares its access token with the other processes of this cache.
    #[must_use]
    pub fn sharing(self, cache: Cache, clock: Arc<dyn Clock>) -> Self {
        let name = format!("{}@{}", self.app_id, self.base.authority());
        Self {
            tokens: AccessTokens::shared(cache, name, clock),
            ..self
        }
    }

    /// An address at WeChat, without its query.
    fn address(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

impl Notifier for MiniProgram {
    fn report_shipping(&self, report: ShippingReport) -> BoxFuture<'_, ChannelOutcome<()>> {
        Box::pin(async move { self.upload_shipping(&report).await })
    }

    fn send_message(
        &self,
        message: CustomerMessage,
    ) -> BoxFuture<'_, ChannelOutcome<MessageOutcome>> {
        Box::pin(async move { self.subscribe_message(&message).await })
    }
}

impl MiniProgramCodes for MiniProgram {
    fn draw(&self, drawing: CodeDrawing) -> BoxFuture<'_, Result<Vec<u8>, DrawingFailure>> {
        Box::pin(async move { self.draw_code(&drawing).await })
    }
}
