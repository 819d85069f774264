//! `/sim/keys`, `/sim/bills`, `/sim/merchants` and `/sim/receivers`: as `control`, for what holds
//! until it is set anew.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::bills::BillSettings;
use super::chance::PerMille;
use super::lock::lock;
use super::merchants::MerchantRules;
use super::sharing::{ForcedReceiver, ReturnFailure, ShareResult};
use super::state::Shared;

fn keys_view(shared: &Shared) -> Value {
    let faults = shared.faults();
    let mut view = shared.switching.view(&shared.keys);
    view["callback_key"] = json!(faults.callback_key);
    view["callback_public_key"] = json!(faults.callback_public_key);
    view
}

/// What `PUT /sim/keys` takes; all of it is optional, and what is left out stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyChange {
    rotate_certificate: Option<bool>,
    apiv3_key: Option<SecretString>,
    next_certificate: Option<PerMille>,
    next_apiv3: Option<PerMille>,
    callback_public_key: Option<PerMille>,
}

/// `GET /sim/keys`: the names of the keys in force and the shares. No key is shown.
pub(super) async fn keys(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(keys_view(&shared))
}

/// `PUT /sim/keys`: rotates, changes, shares.
pub(super) async fn put_keys(
    State(shared): State<Arc<Shared>>,
    Json(change): Json<KeyChange>,
) -> Result<Json<Value>, Response> {
    let refuse = |message: String| {
        let body = json!({"code": "PARAM_ERROR", "message": message});
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    };
    if let Some(key) = &change.apiv3_key {
        let changed = shared.switching.change_apiv3_key(key);
        changed.map_err(|error| refuse(error.to_string()))?;
    }
    if change.rotate_certificate == Some(true) {
        // Making a key takes too long for a thread that serves.
        let rotating = Arc::clone(&shared);
        let rotate = move || rotating.switching.rotate(&rotating.keys);
        let rotated = tokio::task::spawn_blocking(rotate).await;
        rotated.map_err(|error| refuse(error.to_string()))?;
    }
    shared
        .switching
        .change_shares(change.next_certificate, change.next_apiv3);
    if let Some(share) = change.callback_public_key {
        shared.share_callbacks(share);
    }
    Ok(Json(keys_view(&shared)))
}

/// `GET /sim/merchants/{mchid}`.
pub(super) async fn merchant(
    State(shared): State<Arc<Shared>>,
    Path(mchid): Path<String>,
) -> Json<MerchantRules> {
    Json(shared.merchants.rules(&mchid))
}

/// `PUT /sim/merchants/{mchid}`: both terms at once; one left out has its default.
pub(super) async fn put_merchant(
    State(shared): State<Arc<Shared>>,
    Path(mchid): Path<String>,
    Json(rules): Json<MerchantRules>,
) -> Json<MerchantRules> {
    shared.merchants.set(&mchid, rules);
    Json(rules)
}

/// `GET /sim/bills`.
pub(super) async fn bills(State(shared): State<Arc<Shared>>) -> Json<BillSettings> {
    Json(shared.bills.settings())
}

/// `PUT /sim/bills`: all switches at once; those left out have their defaults.
pub(super) async fn put_bills(
    State(shared): State<Arc<Shared>>,
    Json(settings): Json<BillSettings>,
) -> Json<BillSettings> {
    shared.bills.set(settings);
    Json(settings)
}

/// What `PUT /sim/receivers` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReceiverSetting {
    account: String,
    share: Option<ShareResult>,
    return_failure: Option<ReturnFailure>,
    name: Option<String>,
}

/// `PUT /sim/receivers`: decides beforehand what becomes of money for one account.
pub(super) async fn put_receiver(
    State(shared): State<Arc<Shared>>,
    Json(setting): Json<ReceiverSetting>,
) -> StatusCode {
    let forced = ForcedReceiver {
        share: setting.share,
        return_failure: setting.return_failure,
        name: setting.name,
    };
    lock(&shared.sharing).force(&setting.account, forced);
    StatusCode::NO_CONTENT
}
