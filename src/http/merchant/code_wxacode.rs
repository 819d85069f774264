//! `GET /api/v1/merchant/codes/{code}/wxacode.png`

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
    merchants::{self, CodeDrawing},
};

/// A collection code to print, as a mini-program code
///
/// Drawn by WeChat once and kept. It opens the page that the tenant has set, with the code as
/// `scene`. The picture is a PNG with a transparent ground; should WeChat draw a JPEG, the content
/// type says so.
#[utoipa::path(
    get,
    path = "/api/v1/merchant/codes/{code}/wxacode.png",
    operation_id = "merchant_code_wxacode",
    tag = "merchant",
    security(("access_token" = ["own_merchant:read"])),
    params(("code" = String, Path)),
    responses((status = 200, description = "The picture", body = Vec<u8>, content_type = "image/png"), Problems),
)]
pub(in crate::http) async fn wxacode(
    State(app): State<App>,
    auth: Auth<Staff>,
    Path(code): Path<String>,
) -> Result<([(HeaderName, &'static str); 1], Vec<u8>), Problem> {
    let staff = auth.may(Permission::ReadOwnMerchant)?;
    let settings = app.deliveries().settings.current(staff.tenant).await?;
    let drawing = CodeDrawing {
        code: parse(&code)?,
        page: settings.code_page.as_ref().map(ToString::to_string),
        program: settings.program,
    };
    let codes = app.mini_program_codes();
    let (kind, picture) =
        merchants::mini_program_code(app.db(), codes, staff.tenant, staff.merchant, drawing)
            .await?;
    Ok(([(header::CONTENT_TYPE, kind.content_type())], picture))
}
