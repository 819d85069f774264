//! `POST /api/v1/customer/payments`

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;

use super::payment::CustomerPayment;
use crate::{
    app::App,
    customers::{self, Customer},
    facts::Origin,
    http::{
        extract::{self, Auth, Keyed, needs},
        origin::RequestOrigin,
        problem::{Problem, Problems},
    },
    idempotency::IdempotencyKey,
    payments::{self, CreatePayment},
    primitives::Money,
};

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CreatePaymentRequest {
    /// The collection code that was scanned.
    #[schema(example = "7ZK3M9Q2W8XA", max_length = 64)]
    code: String,
    /// Required for codes that leave the amount open; for the others absent or the same.
    #[schema(example = 1200, minimum = 1, maximum = 5_000_000)]
    #[serde(default)]
    amount_fen: Option<i64>,
}

impl CreatePaymentRequest {
    fn request(
        self,
        payer: Customer,
        key: IdempotencyKey,
        origin: Origin,
    ) -> Result<CreatePayment, Problem> {
        if !(1..=64).contains(&self.code.len()) {
            return Err(payments::PaymentError::CodeUnknown.into());
        }
        let amount = self.amount_fen.map(Money::parse).transpose();
        Ok(CreatePayment {
            tenant: payer.tenant,
            customer: payer.id,
            payer_openid: payer.openid,
            code: self.code,
            amount: amount.map_err(|_| Problem::field("amount_fen", "1 to 5000000"))?,
            key: key.into_string(),
            origin,
        })
    }
}

/// Pay at a counter
///
/// Makes the order and gives what `wx.requestPayment` needs. Paid it is only when `state` says so.
///
/// 403 `risk_verification_required`: answer the `challenge` of the problem
/// (`POST /api/v1/customer/challenges/{id}/answer`), then repeat the request with the same key. 403
/// `risk_blocked`: not now; `decision` is what to quote when asking for help. In both cases nothing
/// was made and the key is not used up.
#[utoipa::path(
    post,
    path = "/api/v1/customer/payments",
    operation_id = "customer_create_payment",
    tag = "customer",
    security(("access_token" = ["pay"])),
    params(
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters"),
        ("Device-Id" = Option<String>, Header, description = "What the mini-program calls the phone: 1 to 64 of `A-Z a-z 0-9 . _ : -`"),
    ),
    request_body = CreatePaymentRequest,
    responses((status = 201, description = "Made, or made before with this key", body = CustomerPayment), Problems),
)]
pub(in crate::http) async fn create_payment(
    State(app): State<App>,
    auth: Auth<extract::Customer, needs::Pay>,
    RequestOrigin(origin): RequestOrigin,
    request: Keyed<CreatePaymentRequest>,
) -> Result<(StatusCode, Json<CustomerPayment>), Problem> {
    let customer = auth.caller();
    let payer = customers::get_active(app.db(), customer.tenant, customer.id).await?;
    let request = request.body.request(payer, request.key, origin)?;
    let created = payments::create_payment(app.payments(), request).await?;
    Ok((StatusCode::CREATED, Json(created.into())))
}
