//! `GET` and `POST /api/v1/admin/merchants/{id}/sharing-receivers`,
//! `POST /api/v1/admin/sharing-receivers/{id}/remove`

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Keyed, Operator, Path, needs},
        problem::{Problem, Problems},
    },
    idempotency::{self, StoredAnswer},
    merchants,
    primitives::{Id, MerchantId, ReceiverId, Timestamp},
    sharing::{self, AddReceiver, Receiver, ReceiverForm, ReceiverKind, SharingError},
};

/// No `Debug`: it holds personal data.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AddReceiverRequest {
    /// `merchant`: another merchant number. `person`: somebody under our mini-program, whose share
    /// cannot come back.
    #[schema(example = "merchant", pattern = "^(merchant|person)$")]
    kind: String,
    /// A merchant number or an openid.
    #[schema(example = "1900000100", min_length = 1, max_length = 64)]
    account: String,
    /// The full name: needed for merchants. It goes to WeChat, encrypted, and is not kept.
    #[schema(example = "账房科技有限公司", max_length = 64)]
    #[serde(default)]
    name: Option<String>,
    /// WeChat's value for what the receiver is to the merchant.
    #[schema(example = "SERVICE_PROVIDER")]
    relation: String,
}

impl AddReceiverRequest {
    fn form(self) -> Result<ReceiverForm, SharingError> {
        let kind = ReceiverKind::from_name(&self.kind).ok_or(SharingError::Field {
            field: "kind",
            expected: "merchant or person",
        })?;
        ReceiverForm::parse(kind, self.account, self.name, self.relation)
    }
}

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct SharingReceiver {
    #[schema(value_type = String, example = "rc_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    id: ReceiverId,
    #[schema(value_type = String)]
    merchant_id: MerchantId,
    #[schema(example = "merchant")]
    kind: &'static str,
    /// A merchant number, or the end of an openid.
    #[schema(example = "1900000100")]
    account: String,
    #[schema(example = "账*****")]
    name: Option<String>,
    #[schema(example = "SERVICE_PROVIDER")]
    relation: String,
    /// `pending` (WeChat has not confirmed it: add it again), `active`, `removed` or `refused`.
    #[schema(example = "active")]
    state: &'static str,
    /// Why WeChat refused.
    problem: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<&Receiver> for SharingReceiver {
    fn from(receiver: &Receiver) -> Self {
        Self {
            id: receiver.id,
            merchant_id: receiver.merchant,
            kind: receiver.kind.name(),
            account: receiver.account_masked(),
            name: receiver.name_masked.clone(),
            relation: receiver.relation.clone(),
            state: receiver.state.name(),
            problem: receiver.problem.clone(),
            created_at: receiver.created_at,
        }
    }
}

/// Who may get shares of a merchant's payments
#[utoipa::path(
    get,
    path = "/api/v1/admin/merchants/{id}/sharing-receivers",
    operation_id = "admin_list_sharing_receivers",
    tag = "admin",
    security(("access_token" = ["sharing:read"])),
    params(("id" = String, Path)),
    responses((status = 200, description = "All of them, newest first", body = Vec<SharingReceiver>), Problems),
)]
pub(in crate::http) async fn list_receivers(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(id): Path<MerchantId>,
) -> Result<Json<Vec<SharingReceiver>>, Problem> {
    let operator = auth.may(Permission::ReadSharing)?;
    merchants::get_merchant(app.db(), operator.tenant, id).await?;
    let receivers = sharing::list_receivers(app.db(), operator.tenant, id).await?;
    Ok(Json(receivers.iter().map(SharingReceiver::from).collect()))
}

/// Add a receiver
///
/// Here and at WeChat. When WeChat does not answer, repeat with the same key; one that was refused
/// or removed can be added again.
#[utoipa::path(
    post,
    path = "/api/v1/admin/merchants/{id}/sharing-receivers",
    operation_id = "admin_add_sharing_receiver",
    tag = "admin",
    security(("access_token" = ["sharing:write"])),
    params(("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters")),
    request_body = AddReceiverRequest,
    responses((status = 201, description = "Added, as WeChat sees it; see its state", body = SharingReceiver), Problems),
)]
pub(in crate::http) async fn add_receiver(
    State(app): State<App>,
    auth: Auth<Operator, needs::WriteSharing>,
    Path(id): Path<MerchantId>,
    request: Keyed<AddReceiverRequest>,
) -> Result<(StatusCode, Json<SharingReceiver>), Problem> {
    let operator = auth.caller();
    let claim = request.claim(auth.principal());
    let form = request.body.form()?;
    let work = AddReceiver {
        tenant: operator.tenant,
        merchant: id,
        form: form.clone(),
        by: auth.principal().actor(),
    };
    let made = idempotency::once(app.db(), claim, work, |id: &ReceiverId| {
        StoredAnswer::json(201, Some(*id.bytes()), id)
    });
    // The key leads to the receiver; the answer is how it stands now, for WeChat may have to be
    // told again.
    let effect = made
        .await?
        .answer
        .effect
        .ok_or(SharingError::ReceiverNotFound)?;
    let id = ReceiverId::new(Id::from_bytes(effect));
    let receiver = sharing::register_receiver(app.sharing(), operator.tenant, id, form).await?;
    Ok((StatusCode::CREATED, Json(SharingReceiver::from(&receiver))))
}

/// Remove a receiver
///
/// Here and at WeChat; not while the rule in force names it. When WeChat does not answer, repeat.
#[utoipa::path(
    post,
    path = "/api/v1/admin/sharing-receivers/{id}/remove",
    operation_id = "admin_remove_sharing_receiver",
    tag = "admin",
    security(("access_token" = ["sharing:write"])),
    params(("id" = String, Path)),
    responses((status = 200, description = "Removed", body = SharingReceiver), Problems),
)]
pub(in crate::http) async fn remove_receiver(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(id): Path<ReceiverId>,
) -> Result<Json<SharingReceiver>, Problem> {
    let operator = auth.may(Permission::WriteSharing)?;
    let by = auth.principal().actor();
    let removed = sharing::remove_receiver(app.sharing(), operator.tenant, id, by).await?;
    Ok(Json(SharingReceiver::from(&removed)))
}
