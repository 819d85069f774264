//! From where a request comes, for those who judge it.

use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};

use super::client_address::address_of;
use crate::{
    app::App,
    facts::{Device, Origin},
};

/// The caller's address, as the limits see it, and what the header `Device-Id` says. The header is
/// the client's own word: one that makes no sense is as good as none.
pub(super) struct RequestOrigin(pub(super) Origin);

impl FromRequestParts<App> for RequestOrigin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let said = parts.headers.get("device-id");
        let device = said
            .and_then(|said| said.to_str().ok())
            .and_then(|said| Device::parse(said).ok());
        Ok(Self(Origin {
            address: address_of(app.limit_settings(), parts),
            device,
        }))
    }
}
