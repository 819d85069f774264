//! `GET /api/v1/codes/{code}`

use axum::{Json, extract::State};
use serde::Serialize;

use crate::{
    app::App,
    http::{extract::Path, problem::Problem, problem::Problems},
    merchants::{self, CollectionCode, MerchantError},
    primitives::Money,
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct ResolvedCode {
    #[schema(example = "7ZK3M9Q2W8XA")]
    code: String,
    #[schema(example = "老王面馆")]
    merchant_name: String,
    #[schema(example = "一号柜台")]
    label: String,
    /// `null`: the customer types the amount.
    #[schema(example = 1200)]
    amount_fen: Option<i64>,
}

/// What a scanned code stands for
///
/// Needs no login. May be half a minute old; a payment looks again.
#[utoipa::path(
    get,
    path = "/api/v1/codes/{code}",
    tag = "public",
    params(("code" = String, Path)),
    responses((status = 200, description = "A counter that takes payments", body = ResolvedCode), Problems),
)]
pub(in crate::http) async fn resolve_code(
    State(app): State<App>,
    Path(code): Path<String>,
) -> Result<Json<ResolvedCode>, Problem> {
    let code: CollectionCode = code.parse().map_err(|_| MerchantError::CodeNotFound)?;
    let counter = merchants::resolve_code(app.db(), app.cache(), code).await?;
    Ok(Json(ResolvedCode {
        code: code.to_string(),
        merchant_name: counter.merchant_name,
        label: counter.label,
        amount_fen: counter.amount.map(Money::get),
    }))
}
