//! `POST /api/v1/merchant/registrations`

use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    http::{
        extract::{Auth, Customer, Keyed, needs},
        merchant_profile::MerchantProfile,
        problem::{Problem, Problems},
        replay::Replayable,
    },
    idempotency::{self, StoredAnswer},
    merchants::{InvalidField, MerchantForm, Register, Registered},
    primitives::{Secret, StaffId},
};

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RegistrationRequest {
    /// As it stands under the code.
    #[schema(example = "老王面馆", min_length = 1, max_length = 60)]
    name: String,
    #[schema(value_type = String, example = "王伟", min_length = 1, max_length = 50)]
    contact_name: Secret<String>,
    #[schema(value_type = String, example = "13800001234")]
    contact_phone: Secret<String>,
    #[schema(example = "91310000MA1K35X123", min_length = 1, max_length = 64)]
    business_license: String,
    #[schema(example = "上海市黄浦区人民路1号", min_length = 1, max_length = 200)]
    address: String,
}

#[derive(Serialize, utoipa::ToSchema)]
struct RegistrationAnswer {
    merchant: MerchantProfile,
    /// Who the caller is at the merchant: log in as merchant from now on.
    #[schema(value_type = String, example = "st_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    staff_id: StaffId,
}

impl RegistrationRequest {
    fn form(&self) -> Result<MerchantForm, InvalidField> {
        MerchantForm::parse(
            &self.name,
            &self.contact_name,
            &self.contact_phone,
            &self.business_license,
            &self.address,
        )
    }
}

/// Register a merchant
///
/// With a customer's token: whoever registers becomes the owner. An operator approves or rejects.
/// One person has one merchant; the owner of a rejected one may register again.
#[utoipa::path(
    post,
    path = "/api/v1/merchant/registrations",
    tag = "merchant",
    security(("access_token" = ["merchant:register"])),
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters")),
    request_body = RegistrationRequest,
    responses((status = 201, description = "Registered, waits for approval", body = RegistrationAnswer), Problems),
)]
pub(in crate::http) async fn register(
    State(app): State<App>,
    auth: Auth<Customer, needs::RegisterMerchant>,
    request: Keyed<RegistrationRequest>,
) -> Result<Replayable, Problem> {
    let customer = auth.caller();
    let work = Register {
        tenant: customer.tenant,
        customer: customer.id,
        form: request.body.form()?,
    };
    Ok(
        idempotency::once(app.db(), request.claim(auth.principal()), work, answer)
            .await?
            .into(),
    )
}

fn answer(registered: &Registered) -> Result<StoredAnswer, serde_json::Error> {
    let Registered { merchant, owner } = registered;
    let body = RegistrationAnswer {
        merchant: merchant.into(),
        staff_id: owner.id,
    };
    StoredAnswer::json(201, Some(*merchant.id.bytes()), &body)
}
