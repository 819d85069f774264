//! `POST /api/v1/merchant/codes`

use axum::extract::State;
use serde::Deserialize;

use super::code::CollectionCodeItem;
use crate::{
    app::App,
    http::{
        extract::{Auth, Keyed, Staff, needs},
        problem::{Problem, Problems},
        replay::Replayable,
    },
    idempotency::{self, StoredAnswer},
    merchants::{CodeForm, CollectionCodeRow, CreateCode},
};

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CreateCodeRequest {
    /// The counter or store that it will stand on.
    #[schema(example = "一号柜台", min_length = 1, max_length = 30)]
    label: String,
    /// Absent: the customer types the amount.
    #[schema(example = 1200, minimum = 1, maximum = 5_000_000)]
    #[serde(default)]
    amount_fen: Option<i64>,
}

/// Make a collection code
#[utoipa::path(
    post,
    path = "/api/v1/merchant/codes",
    operation_id = "merchant_create_code",
    tag = "merchant",
    security(("access_token" = ["codes:write"])),
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters")),
    request_body = CreateCodeRequest,
    responses((status = 201, description = "Made", body = CollectionCodeItem), Problems),
)]
pub(in crate::http) async fn create_code(
    State(app): State<App>,
    auth: Auth<Staff, needs::WriteCodes>,
    request: Keyed<CreateCodeRequest>,
) -> Result<Replayable, Problem> {
    let staff = auth.caller();
    let form = CodeForm::parse(&request.body.label, request.body.amount_fen)?;
    let by = auth.principal().clone();
    let work = CreateCode {
        tenant: staff.tenant,
        merchant: staff.merchant,
        form,
        by,
    };
    Ok(
        idempotency::once(app.db(), request.claim(auth.principal()), work, answer)
            .await?
            .into(),
    )
}

fn answer(row: &CollectionCodeRow) -> Result<StoredAnswer, serde_json::Error> {
    StoredAnswer::json(201, None, &CollectionCodeItem::from(row))
}
