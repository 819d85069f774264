//! `GET /api/v1/open/points/transactions`

use axum::{Json, extract::State};
use serde::Deserialize;

use super::points_transaction::PointsTransactionView;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, PageParams, PageQuery, Query},
        problem::{Problem, Problems},
    },
    points::{
        self, PointsTransactionFilter, PointsTransactionKind, PointsTransactionState, Reference,
        Source,
    },
    primitives::{CustomerId, Page},
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct PointsTransactionParams {
    /// Only points transactions with this customer's points.
    #[param(value_type = Option<String>)]
    customer_id: Option<CustomerId>,
    /// Only points transactions of this back end.
    #[param(example = "merchant-crm")]
    source: Option<String>,
    /// Only points transactions of this kind.
    #[param(inline, example = "redeem")]
    kind: Option<PointsTransactionKind>,
    /// Only points transactions in this state.
    #[param(inline, example = "held")]
    state: Option<PointsTransactionState>,
    /// The points transaction with this reference, given `source` and `kind`; without these there
    /// may be several.
    reference: Option<String>,
}

impl PointsTransactionParams {
    fn filter(&self) -> Result<PointsTransactionFilter, Problem> {
        let source = self.source.as_deref().map(Source::parse).transpose();
        let reference = self.reference.as_deref().map(Reference::parse).transpose();
        Ok(PointsTransactionFilter {
            customer: self.customer_id,
            source: source.map_err(|invalid| Problem::field("source", invalid.0))?,
            kind: self.kind,
            state: self.state,
            reference: reference.map_err(|invalid| Problem::field("reference", invalid.0))?,
        })
    }
}

/// Points transactions, newest first
#[utoipa::path(
    get,
    path = "/api/v1/open/points/transactions",
    operation_id = "open_list_points_transactions",
    tag = "open",
    security(("access_token" = ["points:read"])),
    params(PointsTransactionParams, PageParams),
    responses((status = 200, description = "A page", body = Page<PointsTransactionView>), Problems),
)]
pub(in crate::http) async fn list_points_transactions(
    State(app): State<App>,
    auth: Auth<Operator>,
    Query(params): Query<PointsTransactionParams>,
    page: PageQuery,
) -> Result<Json<Page<PointsTransactionView>>, Problem> {
    let operator = auth.may(Permission::ReadPoints)?;
    let (filter, before) = (params.filter()?, page.before()?);
    let transactions =
        points::list_points_transactions(app.db(), operator.tenant, &filter, before, page.limit)
            .await?;
    let page = Page::cut(transactions, page.limit, |transaction| {
        transaction.id.to_string()
    });
    Ok(Json(page.map(PointsTransactionView::from)))
}
