//! The answer to a login.

use serde::Serialize;

use crate::{
    app::App,
    auth::{Principal, StaffRole},
    customers::SignedIn,
    merchants::{MerchantStateKind, SignedInStaff},
    primitives::{CustomerId, MerchantId, StaffId},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Session {
    /// For the header `Authorization: Bearer ..`.
    access_token: String,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds until the access token ends.
    #[schema(example = 900)]
    expires_in: i64,
    /// Good for one use, which gives the next.
    refresh_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<SessionCustomer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    staff: Option<SessionStaff>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct SessionCustomer {
    #[schema(value_type = String, example = "cu_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    id: CustomerId,
    #[serde(skip_serializing_if = "Option::is_none")]
    nickname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct SessionStaff {
    #[schema(value_type = String, example = "st_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    id: StaffId,
    role: StaffRole,
    #[schema(value_type = String, example = "me_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    merchant_id: MerchantId,
    merchant_name: String,
    merchant_state: MerchantStateKind,
}

impl Session {
    pub(super) fn of_customer(app: &App, signed: SignedIn) -> Self {
        let principal = signed.principal();
        let customer = SessionCustomer {
            id: signed.customer.id,
            nickname: signed.customer.nickname,
            avatar: signed.customer.avatar,
        };
        let token = signed.refresh_token.expose();
        Self {
            customer: Some(customer),
            ..Self::new(app, &principal, token)
        }
    }

    pub(super) fn of_staff(app: &App, signed: SignedInStaff) -> Self {
        let principal = signed.staff.principal();
        let staff = SessionStaff {
            id: signed.staff.id,
            role: signed.staff.role,
            merchant_id: signed.merchant.id,
            merchant_state: signed.merchant.state.kind(),
            merchant_name: signed.merchant.name,
        };
        let token = signed.refresh_token.expose();
        Self {
            staff: Some(staff),
            ..Self::new(app, &principal, token)
        }
    }

    fn new(app: &App, principal: &Principal, refresh_token: &str) -> Self {
        let access = app.tokens().issue(principal, app.now());
        Self {
            access_token: access.text,
            token_type: "Bearer",
            expires_in: access.seconds,
            refresh_token: refresh_token.to_owned(),
            customer: None,
            staff: None,
        }
    }
}
