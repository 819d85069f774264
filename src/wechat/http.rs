//! The HTTP client for WeChat's hosts.

use std::time::Duration;

use reqwest::{Client, Response, redirect};

use crate::primitives::WithCauses;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(8);
const USER_AGENT: &str = concat!("zhangfang/", env!("CARGO_PKG_VERSION"));

/// No answer that we ask for comes near this.
pub(super) const ANSWER_MAX_BYTES: usize = 1 << 20;

/// Pooled; goes straight to the host (no proxy) and nowhere else (no redirects).
pub(super) fn client(allow_http: bool) -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TOTAL_TIMEOUT)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .https_only(!allow_http)
        .tcp_nodelay(true)
        .build()
}

/// The whole body, or why it is not to be had. The reason never quotes the URL, which may carry a
/// secret.
pub(super) async fn body(response: Response) -> Result<Vec<u8>, String> {
    body_up_to(response, ANSWER_MAX_BYTES).await
}

/// Reads a body up to a bound, for files.
pub(super) async fn body_up_to(
    mut response: Response,
    max_bytes: usize,
) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(reason)? {
        if body.len().saturating_add(piece.len()) > max_bytes {
            return Err(format!("the answer is longer than {max_bytes} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// An error and its causes in one line, without the URL.
pub(super) fn reason(error: reqwest::Error) -> String {
    WithCauses(&error.without_url()).to_string()
}
