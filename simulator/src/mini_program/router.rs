//! The routes of the mini-program's server API, and of what a test may change of it.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post, put};

use super::super::state::Shared;
use super::{access_token, shipping, subscribe, wxacode};

pub(in super::super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/cgi-bin/stable_token", post(access_token::stable_token))
        .route("/wxa/getwxacodeunlimit", post(wxacode::unlimited))
        .route("/cgi-bin/message/subscribe/send", post(subscribe::send))
        .route(
            "/wxa/sec/order/upload_shipping_info",
            post(shipping::upload),
        )
        .route("/sim/consent", post(subscribe::consent))
        .route("/sim/messages", get(subscribe::messages))
        .route("/sim/shipping", get(shipping::list))
        .route("/sim/pages", put(wxacode::put_pages))
        .route("/sim/token/expire", post(access_token::expire))
}
