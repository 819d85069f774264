//! Refunds as operators see them: [`RefundView`](crate::payments::RefundView), and whose they are.

use crate::{
    app::App,
    auth::Principal,
    http::{extract::Operator, problem::Problem},
    payments::{self, Refund, RefundBy, RefundError, RefundRole},
    primitives::RefundNo,
};

/// The refund, if it is of the operator's tenant: another's does not exist.
pub(super) async fn get_refund(
    app: &App,
    operator: Operator,
    refund_no: RefundNo,
) -> Result<Refund, Problem> {
    let refund = payments::find_refund(app.db(), operator.tenant, refund_no.id()).await?;
    Ok(refund.ok_or(RefundError::NotFound)?)
}

/// In whose name an operator asks and decides.
pub(super) fn in_name_of(principal: &Principal) -> RefundBy {
    RefundBy {
        actor: principal.actor(),
        role: RefundRole::Operator,
    }
}
