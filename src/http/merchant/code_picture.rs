//! `GET /api/v1/merchant/codes/{code}/picture.svg` and `.png`

use axum::{
    extract::State,
    http::{HeaderName, header},
};

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Path, Staff, parse},
        problem::{Problem, Problems},
    },
    merchants::{self, MerchantError, Picture},
};

/// A collection code to print, as SVG
#[utoipa::path(
    get,
    path = "/api/v1/merchant/codes/{code}/picture.svg",
    operation_id = "merchant_code_svg",
    tag = "merchant",
    security(("access_token" = ["own_merchant:read"])),
    params(("code" = String, Path)),
    responses((status = 200, description = "The picture", body = String, content_type = "image/svg+xml"), Problems),
)]
pub(in crate::http) async fn svg(
    State(app): State<App>,
    auth: Auth<Staff>,
    Path(code): Path<String>,
) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    let picture = picture(&app, auth.may(Permission::ReadOwnMerchant)?, &code).await?;
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], picture.svg()))
}

/// A collection code to print, as PNG
#[utoipa::path(
    get,
    path = "/api/v1/merchant/codes/{code}/picture.png",
    operation_id = "merchant_code_png",
    tag = "merchant",
    security(("access_token" = ["own_merchant:read"])),
    params(("code" = String, Path)),
    responses((status = 200, description = "The picture", body = Vec<u8>, content_type = "image/png"), Problems),
)]
pub(in crate::http) async fn png(
    State(app): State<App>,
    auth: Auth<Staff>,
    Path(code): Path<String>,
) -> Result<([(HeaderName, &'static str); 1], Vec<u8>), Problem> {
    let picture = picture(&app, auth.may(Permission::ReadOwnMerchant)?, &code).await?;
    let bytes = picture.png().map_err(MerchantError::from)?;
    Ok(([(header::CONTENT_TYPE, "image/png")], bytes))
}

async fn picture(app: &App, staff: Staff, code: &str) -> Result<Picture, Problem> {
    let code = parse(code)?;
    let row = merchants::get_code(app.db(), staff.tenant, staff.merchant, code).await?;
    let merchant = merchants::get_merchant(app.db(), staff.tenant, staff.merchant).await?;
    let address = format!(
        "{}/c/{code}",
        app.http().public_url.as_str().trim_end_matches('/')
    );
    Ok(Picture::new(&address, &merchant.name, &row.label).map_err(MerchantError::from)?)
}
