//! A refund as the merchant sees it.

use serde::Serialize;

use crate::{
    app::App,
    auth::{Principal, StaffRole},
    http::{extract::Staff, problem::Problem},
    payments::{self, Refund, RefundBy, RefundError, RefundRole},
    primitives::{OrderNo, RefundNo, Timestamp},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct MerchantRefund {
    #[schema(value_type = String, example = "06D8R5MKTS7J0T4V3C9Q2W00")]
    refund_no: RefundNo,
    #[schema(value_type = String, example = "06D8R5MKTS7J0T4V3C9Q2W00")]
    order_no: OrderNo,
    /// `awaiting_approval`, `rejected`, `returning`, `accepted`, `processing`, `succeeded`,
    /// `abnormal`, `closed`, `failed` or `withdrawn`.
    #[schema(example = "processing")]
    state: &'static str,
    #[schema(example = 1200)]
    amount_fen: i64,
    /// Shown to the customer.
    #[schema(example = "缺货")]
    reason: String,
    /// A person of the merchant, or `tenant`; `elsewhere` when it was made at WeChat and not here.
    #[schema(example = "st_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    requested_by: String,
    /// Who agreed, or did not, when a second person had to.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<String>,
    /// Points that go back with it, those that expired unspent or were never credited included.
    #[schema(example = 12)]
    points_back: i64,
    /// `here`, `elsewhere` (made at WeChat by somebody else, on the merchant platform for example),
    /// or `after_all` (ended here, and made by WeChat all the same).
    #[schema(example = "here")]
    origin: &'static str,
    /// The number under which WeChat knows it, when that is not `refund_no`.
    #[serde(skip_serializing_if = "Option::is_none")]
    out_refund_no: Option<String>,
    /// Why it makes no progress, as a code: `not_enough` asks for money on the merchant's account
    /// at WeChat.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// Where the money went, in WeChat's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    received_account: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When the money arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    succeeded_at: Option<Timestamp>,
}

impl From<&Refund> for MerchantRefund {
    fn from(refund: &Refund) -> Self {
        Self {
            refund_no: refund.no(),
            order_no: refund.order.into(),
            state: refund.state.kind().name(),
            amount_fen: refund.amount.get(),
            reason: refund.reason.clone(),
            requested_by: for_merchants(&refund.requested_by.to_string()),
            decided_by: refund
                .approved_by
                .as_ref()
                .map(|by| for_merchants(&by.to_string())),
            points_back: refund.points.due.get(),
            origin: refund.origin.kind().name(),
            out_refund_no: refund.origin.foreign_no().map(str::to_owned),
            problem: refund.attempts.problem.clone(),
            received_account: refund.received_account.clone(),
            created_at: refund.created_at(),
            succeeded_at: refund.succeeded_at(),
        }
    }
}

/// Who it was, without the names of the tenant's people: these are not the merchant's to know.
pub(super) fn for_merchants(actor: &str) -> String {
    if actor.starts_with("operator") {
        "tenant".to_owned()
    } else {
        actor.to_owned()
    }
}

/// The refund, if it is the merchant's: another's does not exist.
pub(super) async fn own_refund(
    app: &App,
    staff: Staff,
    refund_no: RefundNo,
) -> Result<Refund, Problem> {
    let refund = payments::find_refund(app.db(), staff.tenant, refund_no.id()).await?;
    let own = refund.filter(|refund| refund.merchant == staff.merchant);
    Ok(own.ok_or(RefundError::NotFound)?)
}

/// In whose name a person of the merchant asks and decides.
pub(super) fn in_name_of(staff: Staff, principal: &Principal) -> RefundBy {
    RefundBy {
        actor: principal.actor(),
        role: match staff.role {
            StaffRole::Owner => RefundRole::Owner(staff.merchant),
            StaffRole::Clerk => RefundRole::Clerk(staff.merchant),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merchant_does_not_learn_who_works_for_the_tenant() {
        assert_eq!(for_merchants("operator:lin"), "tenant");
        assert_eq!(for_merchants("st_01"), "st_01");
        assert_eq!(for_merchants("wechat"), "wechat");
    }
}
