//! `GET /api/v1/admin/refunds`

use axum::{Json, extract::State};
use serde::Deserialize;

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, PageParams, PageQuery, Query, named},
        problem::{Problem, Problems},
        refund_request::STATES,
        search::{RefundSearchParams, SearchParams},
    },
    payments::{self, RefundStateKind, RefundView},
    primitives::{MerchantId, Page, RefundNo},
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct AdminRefundFilter {
    /// Only refunds in this state: `awaiting_approval`, `rejected`, `returning`, `accepted`,
    /// `processing`, `succeeded`, `abnormal`, `closed`, `failed` or `withdrawn`.
    #[param(example = "awaiting_approval")]
    state: Option<String>,
    /// Only refunds of this merchant.
    #[param(value_type = Option<String>)]
    merchant_id: Option<MerchantId>,
}

/// The refunds of every merchant, newest first
#[utoipa::path(
    get,
    path = "/api/v1/admin/refunds",
    operation_id = "admin_list_refunds",
    tag = "admin",
    security(("access_token" = ["payments:read"])),
    params(AdminRefundFilter, SearchParams, RefundSearchParams, PageParams),
    responses((status = 200, description = "A page", body = Page<RefundView>), Problems),
)]
pub(in crate::http) async fn list_refunds(
    State(app): State<App>,
    auth: Auth<Operator>,
    Query(filter): Query<AdminRefundFilter>,
    Query(search): Query<SearchParams>,
    Query(refund): Query<RefundSearchParams>,
    page: PageQuery,
) -> Result<Json<Page<RefundView>>, Problem> {
    let operator = auth.may(Permission::ReadPayments)?;
    let word = filter.state.as_deref();
    let state = named("state", word, RefundStateKind::from_name, STATES)?;
    let (tenant, merchant) = (operator.tenant, filter.merchant_id);
    let before = page.before()?.map(RefundNo::id);
    let search = refund.search(search, app.now())?;
    let refunds = payments::list_refunds(
        app.db(),
        tenant,
        merchant,
        state,
        &search,
        before,
        page.limit,
    )
    .await?;
    let page = Page::cut(refunds, page.limit, |refund| refund.no().to_string());
    Ok(Json(page.map(|refund| RefundView::from(&refund))))
}
