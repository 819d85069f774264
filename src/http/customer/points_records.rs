//! `GET /api/v1/customer/points/records`

use axum::{Json, extract::State};
use serde::Serialize;

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Customer, PageParams, PageQuery},
        problem::{Problem, Problems},
    },
    payments::{self, PointsRecord},
    primitives::{OrderNo, Page, Timestamp},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PointsRecordItem {
    /// Positive when points came, negative when they went.
    #[schema(example = 12)]
    points_change: i64,
    /// All posted points after it.
    #[schema(example = 132)]
    points_balance: i64,
    /// `earn`, `adjust`, `refund` (given back with a refund), `shortfall` (missing for that,
    /// because they were spent; now owed), `repay` (of what is owed), `award` (a present),
    /// `deduct`, `redeem` (spent), `hold`, `release` (of a hold), `return` (of what was deducted or
    /// redeemed), `expire`, `held` (until they are checked), `credited`, `voided` or `other`.
    #[schema(example = "earn")]
    change_type: String,
    /// Where they came from or went to: `payment`, `refund`, `expiry`, `adjustment`, or what a back
    /// end calls itself.
    #[schema(example = "payment")]
    source: String,
    /// `posted`, `pending` or `voided`.
    #[schema(example = "posted")]
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    order_no: Option<OrderNo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant_name: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<PointsRecord> for PointsRecordItem {
    fn from(record: PointsRecord) -> Self {
        Self {
            points_change: record.points_change,
            points_balance: record.points_balance,
            order_no: record.order_no(),
            change_type: record.change_type,
            source: record.source,
            state: record.state,
            merchant_name: record.merchant_name,
            created_at: record.created_at,
        }
    }
}

/// How one's points came about, newest first
#[utoipa::path(
    get,
    path = "/api/v1/customer/points/records",
    operation_id = "customer_points_records",
    tag = "customer",
    security(("access_token" = ["own:read"])),
    params(PageParams),
    responses((status = 200, description = "A page", body = Page<PointsRecordItem>), Problems),
)]
pub(in crate::http) async fn points_records(
    State(app): State<App>,
    auth: Auth<Customer>,
    page: PageQuery,
) -> Result<Json<Page<PointsRecordItem>>, Problem> {
    let customer = auth.may(Permission::ReadOwn)?;
    let before = page.before::<u32>()?;
    let records =
        payments::list_points_records(app.db(), customer.tenant, customer.id, before, page.limit)
            .await?;
    let page = Page::cut(records, page.limit, |record| record.version.to_string());
    Ok(Json(page.map(PointsRecordItem::from)))
}
