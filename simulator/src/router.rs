//! Every route on one page.

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get, post, put};

use super::state::Shared;
use super::{
    control, control_refunds, control_settings, elsewhere, login, merchant_api, mini_program,
    phone_pages, phone_result, scan,
};

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(phone_pages::home))
        .route("/healthz", get(async || "ok"))
        .route("/sns/jscode2session", get(login::jscode2session))
        .merge(mini_program::router::router())
        .route("/v3/{*rest}", any(merchant_api::serve))
        .route("/sim/pay", post(control::pay))
        .route(
            "/sim/faults",
            get(control::get_faults).put(control::put_faults),
        )
        .route("/sim/stats", get(control::stats))
        .route(
            "/sim/keys",
            get(control_settings::keys).put(control_settings::put_keys),
        )
        .route(
            "/sim/merchants/{mchid}",
            get(control_settings::merchant).put(control_settings::put_merchant),
        )
        .route("/sim/receivers", put(control_settings::put_receiver))
        .route(
            "/sim/bills",
            get(control_settings::bills).put(control_settings::put_bills),
        )
        .route("/sim/orders", get(control::orders))
        .route("/sim/refunds", get(control_refunds::list))
        .route("/sim/refunds/plan", post(control_refunds::plan))
        .route(
            "/sim/refunds/{out_refund_no}/settle",
            post(control_refunds::settle),
        )
        .route("/sim/elsewhere/refunds", post(elsewhere::refund))
        .route("/sim/elsewhere/shares", post(elsewhere::share))
        .route("/sim/balances", get(control_refunds::balances))
        .route("/sim/balances/{mchid}", put(control_refunds::put_balance))
        .route("/sim/calls", post(control_refunds::force_call))
        .route("/sim/password", post(control_refunds::password))
        .route("/sim/scan", get(scan::sheet).post(scan::scan))
        .route("/sim/scan/pay", post(scan::sheet_pay))
        .route("/sim/codes", post(control::codes))
        .route(
            "/sim/cashier/{prepay_id}",
            get(control::cashier).post(control::cashier_pay),
        )
        .route("/phone", get(phone_pages::home))
        .route("/phone/merchant", get(phone_pages::merchant))
        .route("/phone/order", post(phone_pages::order))
        .route(
            "/phone/pay/{prepay_id}",
            get(phone_pages::sheet).post(phone_pages::pay),
        )
        .route("/phone/result/{prepay_id}", get(phone_result::result))
        .with_state(shared)
}
