//! `GET /api/v1/admin/exceptions`

use axum::{Json, extract::State};
use serde::Deserialize;

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, PageParams, PageQuery, Query},
        problem::{Problem, Problems},
    },
    payments::{self, ExceptionFilter, ExceptionKind, ExceptionView},
    primitives::{OrderNo, Page},
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ExceptionQuery {
    /// Only those that nobody has resolved.
    #[serde(default)]
    open: bool,
    /// Only those of this kind.
    #[param(inline)]
    kind: Option<ExceptionKind>,
    /// Only those about this order or its refunds.
    #[param(value_type = Option<String>)]
    order_no: Option<OrderNo>,
}

/// What a person should look at, newest first
///
/// Late payments, payments made twice, refunds that WeChat refuses and the like. What the policy
/// took care of is here too, resolved by `policy`.
#[utoipa::path(
    get,
    path = "/api/v1/admin/exceptions",
    operation_id = "admin_list_exceptions",
    tag = "admin",
    security(("access_token" = ["exceptions:read"])),
    params(ExceptionQuery, PageParams),
    responses((status = 200, description = "A page", body = Page<ExceptionView>), Problems),
)]
pub(in crate::http) async fn list_exceptions(
    State(app): State<App>,
    auth: Auth<Operator>,
    Query(query): Query<ExceptionQuery>,
    page: PageQuery,
) -> Result<Json<Page<ExceptionView>>, Problem> {
    let operator = auth.may(Permission::ReadExceptions)?;
    let (tenant, before) = (operator.tenant, page.before()?);
    let filter = ExceptionFilter {
        open: query.open,
        kind: query.kind,
        order: query.order_no.map(OrderNo::id),
    };
    let found = payments::list_exceptions(app.db(), tenant, &filter, before, page.limit).await?;
    let page = Page::cut(found, page.limit, |exception| exception.id.to_string());
    Ok(Json(page.map(|exception| ExceptionView::from(&exception))))
}
