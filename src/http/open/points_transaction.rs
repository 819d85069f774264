//! A points transaction as back ends see it, and what all their commands have in common.

use axum::{Json, http::StatusCode};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    audit::Actor,
    auth::Principal,
    http::{
        extract::{Auth, CheckedFirst, Operator},
        last_usable::last_usable_on,
        problem::Problem,
    },
    points::{self, Executed, Instruction, PointsCommand, PointsTransaction, Reference, Source},
    primitives::{
        CustomerId, MerchantId, OrderNo, Points, PointsTransactionId, TenantId, Timestamp,
    },
};

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = PointsTransaction)]
pub(in crate::http) struct PointsTransactionView {
    #[schema(value_type = String, example = "pt_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    id: PointsTransactionId,
    #[schema(value_type = String, example = "cu_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    customer_id: CustomerId,
    /// `award`, `deduct`, `redeem` or `return`.
    #[schema(example = "redeem")]
    kind: &'static str,
    /// `held`, `done`, `released`, `expired`, `under_review` (a person decides; the points are
    /// pending) or `refused`.
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
    /// Of a return: the points transaction whose points it gives back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "pt_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    returns_points_transaction_id: Option<PointsTransactionId>,
    /// Which back end.
    #[schema(example = "merchant-crm")]
    source: String,
    /// Its own name for the points transaction.
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
    /// Of an award: the last day (at UTC+8) on which its points can be used; `9999-12-31` is for
    /// ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Date, example = "2027-11-21")]
    last_usable_on: Option<String>,
    /// Of a hold: until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    hold_until: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<PointsTransaction> for PointsTransactionView {
    fn from(transaction: PointsTransaction) -> Self {
        Self {
            id: transaction.id,
            customer_id: transaction.customer,
            kind: transaction.kind.name(),
            state: transaction.state.name(),
            points: transaction.points.get(),
            captured: (!transaction.captured.is_zero()).then_some(transaction.captured.get()),
            returned: (!transaction.returned.is_zero()).then_some(transaction.returned.get()),
            returns_points_transaction_id: transaction.returns_of,
            source: transaction.source.to_string(),
            reference: transaction.reference.to_string(),
            reason: transaction.reason,
            order_no: transaction.order.map(OrderNo::from),
            merchant_id: transaction.merchant,
            last_usable_on: transaction
                .expired_from
                .map(|day| last_usable_on(day).to_string()),
            hold_until: transaction.hold_until,
            created_at: transaction.created_at,
            updated_at: transaction.updated_at,
        }
    }
}

/// The back end that calls.
pub(super) struct BackEnd {
    pub(super) tenant: TenantId,
    pub(super) source: Source,
    pub(super) by: Actor,
}

impl BackEnd {
    /// The caller. Its name is the source of what it does.
    pub(super) fn of<P: CheckedFirst>(auth: &Auth<Operator, P>) -> Result<Self, Problem> {
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

/// A deduction, or a redemption at once.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PointsCommandRequest {
    #[schema(value_type = String, example = "cu_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    pub(super) customer_id: CustomerId,
    #[schema(example = 100, minimum = 1, maximum = 1_000_000_000)]
    pub(super) points: i64,
    /// Your own name for this: 1 to 64 visible ASCII characters, once for each kind (`award`,
    /// `deduct`, `redeem`), for ever.
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

impl PointsCommandRequest {
    pub(super) fn command(
        self,
        caller: BackEnd,
        instruction: Instruction,
    ) -> Result<PointsCommand, Problem> {
        let points =
            Points::parse(self.points).map_err(|_| Problem::field("points", "1 to 1000000000"))?;
        let reference = Reference::parse(&self.reference)
            .map_err(|invalid| Problem::field("reference", invalid.0))?;
        Ok(PointsCommand {
            tenant: caller.tenant,
            customer: self.customer_id,
            instruction,
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

/// Executes the command; answers 201 the first time and 200 after that.
pub(super) async fn execute(
    app: &App,
    command: PointsCommand,
) -> Result<(StatusCode, Json<PointsTransactionView>), Problem> {
    Ok(answer(
        points::execute(&app.points_service(), command).await?,
    ))
}

/// Answers 201 the first time and 200 after that.
pub(super) fn answer(
    Executed {
        transaction,
        repeated,
    }: Executed,
) -> (StatusCode, Json<PointsTransactionView>) {
    let status = if repeated {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    (status, Json(PointsTransactionView::from(transaction)))
}
