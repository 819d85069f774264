//! Telling the channel of a share or a release, and asking what became of it. The number is the same for every attempt, for ever.

use super::{
    ChannelShare, Part, PaymentShare, ShareCall, SharePart, ShareState, Sharing, SharingGateway,
    apply_share::{ApplyShare, ShareWord, apply},
    find::find_by_order,
};
use crate::{
    db::{DbError, DueList, Tx, Work},
    payments::{Outcome, Pace, Payments, Refusal, RefusalKind, find_order},
    primitives::{OrderId, SharingId},
};

/// Attempts, about three quarters of an hour, after which a share is given up of which WeChat says that too little is left. What is left grows no more, and refunds wait.
pub const SHARE_ATTEMPTS_MAX: u32 = 8;
/// Stands in the channel's bill beside a release.
const RELEASE: &str = "解冻剩余资金";
/// Sharings that one process takes at a time, and for how long.
const CLAIM: u32 = 32;
const LEASE_SECONDS: i64 = 60;

/// Does what is due for the sharing of an order: tells the channel, or asks. What is learnt is noted. Whatever fails is tried again by a job.
///
/// Gives the sharing as it stands then; none when the order has none.
pub async fn pursue_sharing(
    sharing: &Sharing,
    order: OrderId,
) -> Result<Option<PaymentShare>, DbError> {
    let Some((share, parts)) = find_by_order(&sharing.payments.db, order).await? else {
        return Ok(None);
    };
    let view = find_order(&sharing.payments.db, share.tenant, order).await?;
    let Some(order) = view.map(|view| view.order) else {
        return Ok(None);
    };
    let Some(payment) = order.state.payment() else {
        return Ok(Some(share));
    };
    let call = |number: SharingId, parts: Vec<SharePart>| ShareCall {
        sharing_no: number.into(),
        shop: order.sub_mchid.clone(),
        wechat_transaction_id: payment.wechat_transaction_id.clone(),
        parts,
        release_rest: true,
        description: RELEASE.to_owned(),
    };
    let gateway = sharing.gateways.of(share.tenant);
    let (number, word) = match share.state {
        ShareState::Asked => {
            let parts = parts.iter().map(to_share).collect();
            let call = call(share.id, parts);
            (share.id, tell(&*gateway, call, share.attempts.count).await)
        }
        ShareState::Processing => {
            let transaction = &payment.wechat_transaction_id;
            let asked = gateway.query_share(share.no(), transaction, &order.sub_mchid);
            (share.id, heard(asked.await))
        }
        ShareState::Releasing { release } => {
            let call = call(release, Vec::new());
            (release, tell(&*gateway, call, share.attempts.count).await)
        }
        ShareState::Done { .. } => return Ok(Some(share)),
    };
    let operation = ApplyShare {
        order: order.id,
        number,
        word,
        pace: sharing.payments.pace,
    };
    apply(sharing, operation).await
}

fn to_share(part: &Part) -> SharePart {
    SharePart {
        kind: part.kind,
        account: part.account.clone(),
        amount: part.amount,
        description: part.description.clone(),
    }
}

async fn tell(gateway: &dyn SharingGateway, call: ShareCall, attempts: u32) -> ShareWord {
    let releases = call.parts.is_empty();
    match gateway.share(call.clone()).await {
        Outcome::Done(said) => ShareWord::Channel(said),
        Outcome::Unknown(reason) => later("no_answer", &reason, true),
        Outcome::Refused(refusal) => match refusal.kind {
            RefusalKind::RateLimited => later("rate_limited", &refusal.code, false),
            RefusalKind::NotEnough
                if !releases && attempts.saturating_add(1) < SHARE_ATTEMPTS_MAX =>
            {
                later("not_enough", &refusal.code, false)
            }
            RefusalKind::NotEnough
            | RefusalKind::AlreadyPaid
            | RefusalKind::Closed
            | RefusalKind::Absent
            | RefusalKind::Conflict
            | RefusalKind::Rejected => doubt(gateway, &call, refusal).await,
        },
    }
}

/// A refusal proves only that this attempt did nothing; an earlier one may have. The query decides.
async fn doubt(gateway: &dyn SharingGateway, call: &ShareCall, refusal: Refusal) -> ShareWord {
    tracing::warn!(sharing.no = %call.sharing_no, code = refusal.code, message = refusal.message, "WeChat refuses a share");
    let asked = gateway.query_share(call.sharing_no, &call.wechat_transaction_id, &call.shop);
    match asked.await {
        Outcome::Done(said) => ShareWord::Channel(said),
        Outcome::Refused(no) if no.kind == RefusalKind::Absent => ShareWord::Refused {
            kind: refusal.kind,
            code: refusal.code,
        },
        Outcome::Refused(no) => later("refused_and_unclear", &no.code, true),
        Outcome::Unknown(reason) => later("refused_and_unclear", &reason, true),
    }
}

fn heard(outcome: Outcome<ChannelShare>) -> ShareWord {
    match outcome {
        Outcome::Done(said) => ShareWord::Channel(said),
        Outcome::Refused(refusal) => later("query_refused", &refusal.code, false),
        Outcome::Unknown(reason) => later("no_answer", &reason, false),
    }
}

fn later(problem: &'static str, why: &str, unsure: bool) -> ShareWord {
    tracing::info!(problem, why, "a sharing is not further");
    ShareWord::Later { problem, unsure }
}

const DUE: DueList = DueList {
    list: "/* sharing.due_sharings */ SELECT id, order_id FROM sharings WHERE next_attempt_at <= ? ORDER BY next_attempt_at LIMIT ? FOR UPDATE SKIP LOCKED",
    set: "UPDATE /* sharing.claim_sharings */ sharings SET next_attempt_at = ",
    of: " WHERE id IN (",
};

/// Orders whose sharing is due, taken for a minute.
pub async fn claim_sharings(payments: &Payments) -> Result<Vec<OrderId>, DbError> {
    let pace = payments.pace;
    payments.db.run(ClaimSharings { pace }).await
}

#[derive(Debug)]
struct ClaimSharings {
    pace: Pace,
}

impl Work for ClaimSharings {
    const NAME: &'static str = "sharing.claim_sharings";
    type Reply = Vec<OrderId>;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<Self::Reply, DbError> {
        let now = tx.now();
        let due: Vec<(SharingId, OrderId)> = DUE
            .claim(
                tx,
                (now, self.pace.after(now, LEASE_SECONDS)),
                CLAIM,
                |(sharing, _): &(SharingId, OrderId)| *sharing.bytes(),
            )
            .await?;
        Ok(due.into_iter().map(|(_, order)| order).collect())
    }
}
