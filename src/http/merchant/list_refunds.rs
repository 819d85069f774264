//! `GET /api/v1/merchant/refunds`

use axum::{Json, extract::State};
use serde::Deserialize;

use super::refund::MerchantRefund;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, PageParams, PageQuery, Query, Staff, named},
        problem::{Problem, Problems},
        refund_request::STATES,
        search::{RefundSearchParams, SearchParams},
    },
    payments::{self, RefundStateKind},
    primitives::{Page, RefundNo},
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct MerchantRefundFilter {
    /// Only refunds in this state: `awaiting_approval`, `rejected`, `returning`, `accepted`,
    /// `processing`, `succeeded`, `abnormal`, `closed`, `failed` or `withdrawn`.
    #[param(example = "awaiting_approval")]
    state: Option<String>,
}

/// The merchant's refunds, newest first
#[utoipa::path(
    get,
    path = "/api/v1/merchant/refunds",
    operation_id = "merchant_list_refunds",
    tag = "merchant",
    security(("access_token" = ["merchant_payments:read"])),
    params(MerchantRefundFilter, SearchParams, RefundSearchParams, PageParams),
    responses((status = 200, description = "A page", body = Page<MerchantRefund>), Problems),
)]
pub(in crate::http) async fn list_refunds(
    State(app): State<App>,
    auth: Auth<Staff>,
    Query(filter): Query<MerchantRefundFilter>,
    Query(search): Query<SearchParams>,
    Query(refund): Query<RefundSearchParams>,
    page: PageQuery,
) -> Result<Json<Page<MerchantRefund>>, Problem> {
    let staff = auth.may(Permission::ReadMerchantPayments)?;
    let word = filter.state.as_deref();
    let state = named("state", word, RefundStateKind::from_name, STATES)?;
    let before = page.before()?.map(RefundNo::id);
    let (tenant, merchant) = (staff.tenant, Some(staff.merchant));
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
    Ok(Json(page.map(|refund| MerchantRefund::from(&refund))))
}
