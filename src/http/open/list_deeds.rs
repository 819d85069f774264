//! `GET /api/v1/open/points/deeds`

use axum::{Json, extract::State};
use serde::Deserialize;

use super::deed::DeedItem;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, PageParams, PageQuery, Query, named},
        openapi::Problems,
        problem::Problem,
    },
    points::{self, DeedFilter, DeedKind, DeedState, Reference, Source},
    primitives::{CustomerId, Page},
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct DeedParams {
    /// Only deeds with this customer's points.
    #[param(value_type = Option<String>)]
    customer_id: Option<CustomerId>,
    /// Only deeds of this back end.
    #[param(example = "merchant-crm")]
    source: Option<String>,
    /// `award`, `deduct` or `redeem`.
    #[param(example = "redeem")]
    kind: Option<String>,
    /// `held`, `done`, `released`, `expired`, `under_review` or `refused`.
    #[param(example = "held")]
    state: Option<String>,
    /// The deed with this reference, given `source` and `kind`; without these there may be several.
    reference: Option<String>,
}

impl DeedParams {
    fn filter(&self) -> Result<DeedFilter, Problem> {
        let source = self.source.as_deref().map(Source::parse).transpose();
        let reference = self.reference.as_deref().map(Reference::parse).transpose();
        Ok(DeedFilter {
            customer: self.customer_id,
            source: source.map_err(|invalid| Problem::field("source", invalid.0))?,
            kind: named(
                "kind",
                self.kind.as_deref(),
                DeedKind::from_name,
                "award, deduct or redeem",
            )?,
            state: named(
                "state",
                self.state.as_deref(),
                DeedState::from_name,
                "held, done, released, expired, under_review or refused",
            )?,
            reference: reference.map_err(|invalid| Problem::field("reference", invalid.0))?,
        })
    }
}

/// Deeds, newest first
#[utoipa::path(
    get,
    path = "/api/v1/open/points/deeds",
    operation_id = "open_list_deeds",
    tag = "open",
    security(("access_token" = [])),
    params(DeedParams, PageParams),
    responses((status = 200, description = "A page", body = Page<DeedItem>), Problems),
)]
pub(in crate::http) async fn list_deeds(
    State(app): State<App>,
    auth: Auth<Operator>,
    Query(params): Query<DeedParams>,
    page: PageQuery,
) -> Result<Json<Page<DeedItem>>, Problem> {
    let operator = auth.may(Permission::ReadPoints)?;
    let (filter, before) = (params.filter()?, page.before()?);
    let deeds = points::list_deeds(app.db(), operator.tenant, &filter, before, page.limit).await?;
    let page = Page::cut(deeds, page.limit, |deed| deed.id.to_string());
    Ok(Json(page.map(DeedItem::from)))
}
