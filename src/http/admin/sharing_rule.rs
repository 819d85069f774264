//! `GET` and `PUT /api/v1/admin/merchants/{id}/sharing-rule`

use axum::{Json, extract::State};
use serde::Deserialize;

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{self, Auth, Operator, Path, needs},
        problem::{Problem, Problems},
        sharing::SharingRuleAnswer,
    },
    merchants,
    primitives::{MerchantId, ReceiverId},
    sharing::{self, NewRulePart, NewSharingRule},
};

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct SharingRuleRequest {
    /// Whether payments are shared; the money of orders is frozen until then.
    active: bool,
    /// At most 50, each receiver once; at least one when active.
    #[serde(default)]
    parts: Vec<SharingRulePartRequest>,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SharingRulePartRequest {
    #[schema(value_type = String, example = "rc_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    receiver_id: ReceiverId,
    /// Millionths of the payment less fee and refunds, rounded down to the fen. All together at
    /// most what WeChat allows the merchant, usually 300000.
    #[schema(example = 50_000, minimum = 1, maximum = 1_000_000)]
    ratio_ppm: u32,
    /// Shown to the receiver: 1 to 80 bytes.
    #[schema(example = "平台服务费", min_length = 1, max_length = 80)]
    description: String,
}

/// A merchant's sharing rule in force
#[utoipa::path(
    get,
    path = "/api/v1/admin/merchants/{id}/sharing-rule",
    operation_id = "admin_get_sharing_rule",
    tag = "admin",
    security(("access_token" = ["sharing:read"])),
    params(("id" = String, Path)),
    responses((status = 200, description = "The rule", body = SharingRuleAnswer), Problems),
)]
pub(in crate::http) async fn get_sharing_rule(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(id): Path<MerchantId>,
) -> Result<Json<SharingRuleAnswer>, Problem> {
    let operator = auth.may(Permission::ReadSharing)?;
    merchants::get_merchant(app.db(), operator.tenant, id).await?;
    let rule = sharing::find_rule(app.db(), operator.tenant, id).await?;
    Ok(Json(rule.into()))
}

/// Put a sharing rule in force for a merchant
///
/// Takes effect as the next version. Orders that are made from then on are shared by the rule in
/// force a minute after their payment; those that were made before an active rule are not.
#[utoipa::path(
    put,
    path = "/api/v1/admin/merchants/{id}/sharing-rule",
    operation_id = "admin_set_sharing_rule",
    tag = "admin",
    security(("access_token" = ["sharing:write"])),
    params(("id" = String, Path)),
    request_body(
        content = SharingRuleRequest,
        examples(
            ("share" = (summary = "A twentieth for one receiver", value = json!({"active": true, "parts": [{"receiver_id": "rc_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00", "ratio_ppm": 50_000, "description": "平台服务费"}]}))),
            ("stop" = (summary = "Nothing is shared", value = json!({"active": false}))),
        ),
    ),
    responses((status = 200, description = "In force", body = SharingRuleAnswer), Problems),
)]
pub(in crate::http) async fn set_sharing_rule(
    State(app): State<App>,
    auth: Auth<Operator, needs::WriteSharing>,
    Path(id): Path<MerchantId>,
    extract::Json(request): extract::Json<SharingRuleRequest>,
) -> Result<Json<SharingRuleAnswer>, Problem> {
    let operator = auth.caller();
    let parts = request.parts.into_iter();
    let request = NewSharingRule {
        tenant: operator.tenant,
        merchant: id,
        active: request.active,
        parts: parts
            .map(|part| NewRulePart {
                receiver: part.receiver_id,
                ratio_ppm: part.ratio_ppm,
                description: part.description,
            })
            .collect(),
        by: auth.principal().actor(),
    };
    let rule = sharing::set_rule(app.sharing(), request).await?;
    Ok(Json(Some(rule).into()))
}
