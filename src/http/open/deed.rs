//! A deed as back ends see it, and what they all say when they ask for one.

use axum::{Json, http::StatusCode};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    audit::Actor,
    auth::Principal,
    http::{
        extract::{Auth, Foreseen, Operator},
        problem::Problem,
    },
    points::{self, Asked, Deed, DeedWish, Reference, Source, Wanted},
    primitives::{CustomerId, DeedId, MerchantId, OrderNo, Points, TenantId, Timestamp},
};

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = PointsDeed)]
pub(in crate::http) struct DeedItem {
    #[schema(value_type = String, example = "pd_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    id: DeedId,
    #[schema(value_type = String, example = "cu_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    customer_id: CustomerId,
    /// `award`, `deduct`, `redeem` or `return`.
    #[schema(example = "redeem")]
    kind: &'static str,
    /// `held`, `done`, `released`, `expired`, `under_review` (a person decides; the points are pending) or `refused`.
    #[schema(example = "held")]
    state: &'static str,
    #[schema(example = 100)]
    points: i64,
    /// Of a redemption that is done: how many were spent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 80)]
    captured: Option<i64>,
    /// Of what was deducted or redeemed: how many were given back since.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 20)]
    returned: Option<i64>,
    /// Of a return: the deed whose points it gives back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "pd_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    returns_deed_id: Option<DeedId>,
    /// Which back end.
    #[schema(example = "merchant-crm")]
    source: String,
    /// Its own name for the deed.
    #[schema(example = "gift-2026-11-21-0001")]
    reference: String,
    #[schema(example = "生日礼")]
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    order_no: Option<OrderNo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    merchant_id: Option<MerchantId>,
    /// Of an award: the first day (at UTC+8) on which its points are gone; `9999-12-31` is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Date, example = "2027-11-22")]
    expires_on: Option<String>,
    /// Of a redemption that is set aside first: until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    hold_until: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Deed> for DeedItem {
    fn from(deed: Deed) -> Self {
        Self {
            id: deed.id,
            customer_id: deed.customer,
            kind: deed.kind.name(),
            state: deed.state.name(),
            points: deed.points.get(),
            captured: (!deed.captured.is_zero()).then_some(deed.captured.get()),
            returned: (!deed.returned.is_zero()).then_some(deed.returned.get()),
            returns_deed_id: deed.returns_of,
            source: deed.source.to_string(),
            reference: deed.reference.to_string(),
            reason: deed.reason,
            order_no: deed.order.map(OrderNo::from),
            merchant_id: deed.merchant,
            expires_on: deed.expires_on.map(|day| day.to_string()),
            hold_until: deed.hold_until,
            created_at: deed.created_at,
            updated_at: deed.updated_at,
        }
    }
}

/// Who asks, as far as points are concerned.
pub(super) struct BackEnd {
    pub(super) tenant: TenantId,
    pub(super) source: Source,
    pub(super) by: Actor,
}

impl BackEnd {
    /// The caller. Its name is the source of what it does.
    pub(super) fn of<P: Foreseen>(auth: &Auth<Operator, P>) -> Result<Self, Problem> {
        let operator = auth.caller();
        let name = match auth.principal() {
            Principal::Operator { name, .. } => name.as_str(),
            Principal::Customer { .. } | Principal::Staff { .. } => "",
        };
        let source = Source::parse(name).map_err(|_| {
            Problem::new(
                StatusCode::FORBIDDEN,
                "source_not_allowed",
                "The token's name cannot be the source of points",
                "该令牌的名称不能作为积分来源",
            )
        })?;
        Ok(Self {
            tenant: operator.tenant,
            source,
            by: auth.principal().actor(),
        })
    }
}

/// To take points, or to spend them at once.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct DeedRequest {
    #[schema(value_type = String, example = "cu_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    pub(super) customer_id: CustomerId,
    #[schema(example = 100, minimum = 1, maximum = 1_000_000_000)]
    pub(super) points: i64,
    /// Your own name for this: 1 to 64 visible ASCII characters, once for each kind (`award`, `deduct`, `redeem`), for ever.
    #[schema(example = "gift-2026-11-21-0001", min_length = 1, max_length = 64)]
    pub(super) reference: String,
    /// 1 to 200 characters in one line.
    #[schema(example = "兑换咖啡一杯", min_length = 1, max_length = 200)]
    pub(super) reason: String,
    /// An order of this customer that it is about.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) order_no: Option<OrderNo>,
    /// The merchant that it is about; the order's, if there is one.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) merchant_id: Option<MerchantId>,
}

impl DeedRequest {
    pub(super) fn wish(self, caller: BackEnd, wanted: Wanted) -> Result<DeedWish, Problem> {
        let points =
            Points::parse(self.points).map_err(|_| Problem::field("points", "1 to 1000000000"))?;
        let reference = Reference::parse(&self.reference)
            .map_err(|invalid| Problem::field("reference", invalid.0))?;
        Ok(DeedWish {
            tenant: caller.tenant,
            customer: self.customer_id,
            wanted,
            points,
            source: caller.source,
            reference,
            reason: self.reason.trim().to_owned(),
            order: self.order_no.map(OrderNo::id),
            merchant: self.merchant_id,
            by: caller.by,
        })
    }
}

/// Asks, and answers 201 the first time and 200 after that.
pub(super) async fn ask(
    app: &App,
    wish: DeedWish,
) -> Result<(StatusCode, Json<DeedItem>), Problem> {
    Ok(answer(points::ask(&app.points_desk(), wish).await?))
}

/// 201 the first time and 200 after that.
pub(super) fn answer(Asked { deed, before }: Asked) -> (StatusCode, Json<DeedItem>) {
    let status = if before {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    (status, Json(DeedItem::from(deed)))
}
