//! An abnormal refund goes elsewhere: to another card of the customer, or to the merchant's own
//! account.
//!
//! Whoever may choose the card may choose their own. So what is sent where is in the audit log
//! before WeChat is asked, whatever becomes of the call; and where the order's refunds come to more
//! than the policy's `refund_review_above_fen` it takes two people. The first one says where; the
//! second one says the same, with the whole card, since nobody keeps a card's number: of the first
//! one's, bank and last four digits stay (`refund_redirects`).
//!
//! ```text
//!              says where                    another person says the same
//!  (nothing) ─────────────▶ waits for a second ──────────────────────────▶ agreed: WeChat is asked
//!                               │    ▲                                         │
//!                               └────┘ anybody says something else             └── no answer, refused, or abnormal again: either may send the same again;
//!                                                                                  something else begins anew
//! ```
//!
//! Nothing waits in secret: the refund stays *abnormal*, with its exception open, until money
//! arrives somewhere. What the first one said is good for a day. Killed after the commit and before
//! the call, the log says that it was to be sent, and either person repeats it: WeChat knows the
//! refund by its number.

use sqlx::FromRow;

use super::{
    AbnormalRefund, BankCard, ChannelOutcome, ChannelRefund, Payments, Refund, RefundError,
    RefundState, RefundUpdateOutcome,
    apply_refund::apply,
    find::find_refund,
    list,
    refund_update::{ApplyRefund, RefundUpdate},
};
use crate::{
    audit::{self, Actor, AuditAction},
    db::{Db, DbError, Tx, Work},
    primitives::{RefundId, TenantId, Timestamp},
};

/// How long the first person's request waits for a second one.
const WAIT_SECONDS: i64 = 86_400;

/// What became of the request to send a refund elsewhere.
#[derive(Debug, Clone)]
pub enum RedirectOutcome {
    /// WeChat took it on.
    Sent(Refund),
    /// A second person must say the same.
    AwaitsSecond(Refund),
}

/// Where it is to go, as far as that may be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Destination {
    /// Bank and last four digits; none for the merchant's own account.
    card: Option<(String, String)>,
}

impl Destination {
    fn of(card: Option<&BankCard>) -> Self {
        let kept = |card: &BankCard| {
            let number = card.number.expose();
            let tail = number.get(number.len().saturating_sub(4)..).unwrap_or("");
            (card.bank_type.clone(), tail.to_owned())
        };
        Self {
            card: card.map(kept),
        }
    }
}

/// `ICBC_DEBIT …2233`, or `the merchant's account`.
impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.card {
            Some((bank, tail)) => write!(f, "{bank} …{tail}"),
            None => f.write_str("the merchant's account"),
        }
    }
}

/// What people said of where a refund is to go.
#[derive(Debug, Clone, FromRow)]
pub struct Redirect {
    bank_type: Option<String>,
    card_tail: Option<String>,
    pub asked_by: Actor,
    pub asked_at: Timestamp,
    pub agreed_by: Option<Actor>,
    pub agreed_at: Option<Timestamp>,
}

impl Redirect {
    /// Bank and last four digits of the card, or the merchant's account.
    pub fn to(&self) -> String {
        self.destination().to_string()
    }

    fn destination(&self) -> Destination {
        Destination {
            card: self.bank_type.clone().zip(self.card_tail.clone()),
        }
    }
}

const FIND: &str = "/* payments.find_redirect */ SELECT bank_type, card_tail, asked_by, asked_at, agreed_by, agreed_at FROM refund_redirects WHERE refund_id = ? AND tenant_id = ?";

/// What was said of where an abnormal refund is to go, if two people had to.
pub async fn find_redirect(
    db: &Db,
    tenant: TenantId,
    refund: RefundId,
) -> Result<Option<Redirect>, DbError> {
    Ok(sqlx::query_as(FIND)
        .bind(refund)
        .bind(tenant)
        .fetch_optional(db.pool())
        .await?)
}

/// Sends an abnormal refund elsewhere, or notes that `by` wants it. `by` stands in the refund's
/// history.
///
/// Fails with [`RefundError::NotAbnormal`] unless the customer's bank did not take the money, with
/// [`RefundError::ChannelRefused`] and [`RefundError::ChannelUnknown`] as WeChat answers, with
/// [`RefundError::AnswerMismatch`] when its answer does not fit the refund.
pub async fn redirect_refund(
    payments: &Payments,
    tenant: TenantId,
    id: RefundId,
    card: Option<BankCard>,
    by: Actor,
) -> Result<RedirectOutcome, RefundError> {
    let refund = find_refund(&payments.db, tenant, id).await?;
    let refund = refund.ok_or(RefundError::NotFound)?;
    if refund.is_foreign() {
        // Where somebody else's goes, they say at WeChat.
        return Err(RefundError::NotAbnormal);
    }
    let (RefundState::Abnormal, Some(wechat_refund_id)) = (refund.state, &refund.wechat_refund_id)
    else {
        return Err(RefundError::NotAbnormal);
    };
    let order = list::find_order(&payments.db, tenant, refund.order).await?;
    let order = order.ok_or(RefundError::OrderNotFound)?.order;
    let sub_mchid = order.sub_mchid.clone();
    let policy = payments.policies.current(tenant).await?;
    let request = AuthorizeRedirect {
        destination: Destination::of(card.as_ref()),
        // As when refunds are asked for: what the order gives back is judged, and not its pieces.
        takes_two: order.refunds.asked > policy.terms.refund_review_above,
        by: by.clone(),
        refund: refund.clone(),
    };
    if !payments.db.run(request).await? {
        return Ok(RedirectOutcome::AwaitsSecond(refund));
    }
    let call = AbnormalRefund {
        refund_no: refund.no(),
        wechat_refund_id: wechat_refund_id.clone(),
        sub_mchid,
        card,
    };
    let said: ChannelRefund = match payments.channels.of(tenant).redirect_refund(call).await {
        ChannelOutcome::Done(said) => said,
        ChannelOutcome::Refused(refusal) => return Err(RefundError::ChannelRefused(refusal.code)),
        ChannelOutcome::Unknown(_) => return Err(RefundError::ChannelUnknown),
    };
    let update = RefundUpdate::Channel(said);
    let operation = ApplyRefund::answer((tenant, Some(id)), update, by, payments.time_scale);
    match apply(payments, operation).await? {
        RefundUpdateOutcome::Now(moved) => Ok(RedirectOutcome::Sent(*moved)),
        // A callback was faster.
        RefundUpdateOutcome::Before | RefundUpdateOutcome::Unpaid(_) => {
            let moved = find_refund(&payments.db, tenant, id).await?;
            Ok(RedirectOutcome::Sent(moved.unwrap_or(refund)))
        }
        RefundUpdateOutcome::Rejected(reason) => Err(RefundError::AnswerMismatch(reason)),
    }
}

/// Notes who wants what. True when WeChat may be asked now.
#[derive(Debug)]
struct AuthorizeRedirect {
    refund: Refund,
    destination: Destination,
    takes_two: bool,
    by: Actor,
}

impl Work for AuthorizeRedirect {
    const NAME: &'static str = "payments.redirect_refund";
    type Reply = bool;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<bool, DbError> {
        // The refund's row stands for what is said of it: two people at once queue here.
        sqlx::query(
            "/* payments.lock_refund */ SELECT id FROM refunds WHERE id = ? AND tenant_id = ? FOR UPDATE",
        )
        .bind(self.refund.id)
        .bind(self.refund.tenant)
        .execute(tx.conn())
        .await?;
        let said: Option<Redirect> = if self.takes_two {
            sqlx::query_as(FIND)
                .bind(self.refund.id)
                .bind(self.refund.tenant)
                .fetch_optional(tx.conn())
                .await?
        } else {
            None
        };
        let same = said.filter(|said| said.destination() == self.destination);
        let fresh = same.filter(|said| {
            said.agreed_by.is_some() || said.asked_at.plus_seconds(WAIT_SECONDS) > tx.now()
        });
        match fresh {
            _ if !self.takes_two => {}
            Some(said) if said.agreed_by.is_some() => {}
            Some(said) if said.asked_by == self.by => return Ok(false),
            Some(_) => self.agree(tx).await?,
            None => {
                self.ask(tx).await?;
                return Ok(false);
            }
        }
        let sent = AuditAction::RefundRedirected {
            to: self.destination.to_string(),
        };
        audit::record(tx, self.refund.tenant, &self.by, sent, self.refund.no()).await?;
        Ok(true)
    }
}

impl AuthorizeRedirect {
    async fn ask(&self, tx: &mut Tx) -> Result<(), DbError> {
        let now = tx.now();
        let (bank, tail) = self.destination.card.clone().unzip();
        sqlx::query(
            "/* payments.ask_redirect */ INSERT INTO refund_redirects (refund_id, tenant_id, bank_type, card_tail, asked_by, asked_at) VALUES (?, ?, ?, ?, ?, ?) \
             ON DUPLICATE KEY UPDATE bank_type = VALUES(bank_type), card_tail = VALUES(card_tail), asked_by = VALUES(asked_by), asked_at = VALUES(asked_at), \
             agreed_by = NULL, agreed_at = NULL",
        )
        .bind(self.refund.id)
        .bind(self.refund.tenant)
        .bind(bank)
        .bind(tail)
        .bind(&self.by)
        .bind(now)
        .execute(tx.conn())
        .await?;
        let asked = AuditAction::RefundRedirectRequested {
            to: self.destination.to_string(),
        };
        audit::record(tx, self.refund.tenant, &self.by, asked, self.refund.no()).await
    }

    async fn agree(&self, tx: &mut Tx) -> Result<(), DbError> {
        let now = tx.now();
        sqlx::query(
            "/* payments.agree_redirect */ UPDATE refund_redirects SET agreed_by = ?, agreed_at = ? WHERE refund_id = ? AND agreed_by IS NULL",
        )
        .bind(&self.by)
        .bind(now)
        .bind(self.refund.id)
        .execute(tx.conn())
        .await?;
        Ok(())
    }
}
