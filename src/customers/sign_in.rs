//! A customer logs in through WeChat, for the first time or again.

use super::{Customer, CustomerError, CustomerStatus, store};
use crate::{
    auth::{self, AuthError, Principal, RefreshToken, SessionLifetime, Subject, WechatLogin},
    db::{Db, DbError, Tx, Work},
    facts::{Facts, Origin, Stage},
    primitives::{ChallengeId, CustomerId, DecisionId, Secret, TenantId},
    risk::{self, Action, ActivityKey, Evaluation, Risk, Stop},
};

/// A customer who has logged in, and the token to stay logged in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    pub customer: Customer,
    pub refresh_token: RefreshToken,
}

impl SignedIn {
    pub fn principal(&self) -> Principal {
        Principal::Customer {
            tenant: self.customer.tenant,
            id: self.customer.id,
        }
    }
}

/// Somebody who logs in.
#[derive(Debug, Clone)]
pub struct Arrival<'a> {
    pub tenant: TenantId,
    /// What `wx.login` gave.
    pub code: &'a str,
    pub origin: Origin,
    /// The challenge that an earlier attempt was given: a second fresh code of the same person
    /// answers it.
    pub challenge: Option<ChallengeId>,
}

/// Exchanges the code of `wx.login`, asks risk and opens a session. WeChat is asked before, not
/// inside, the transaction.
///
/// Fails with [`CustomerError::Stopped`] when risk does not allow it or wants another code first.
pub async fn sign_in(
    db: &Db,
    login: &dyn WechatLogin,
    risk: &Risk,
    lifetime: SessionLifetime,
    arrival: Arrival<'_>,
) -> Result<SignedIn, CustomerError> {
    let identity = login.exchange(arrival.code).await?;
    let evaluation = evaluate(risk, db, &arrival, &identity.openid).await?;
    let sign_in = SignIn {
        tenant: arrival.tenant,
        openid: identity.openid,
        lifetime,
        risk: risk.clone(),
        evaluation: evaluation.clone(),
        challenge: arrival.challenge,
    };
    let signed = db.run(sign_in).await;
    match &signed {
        Ok(reply) => evaluation.conclude(reply.is_ok()).await,
        // Nobody knows; there is no key under which it would be repeated.
        Err(CustomerError::Db(error)) if !error.is_certainly_undone() => {}
        Err(_) => evaluation.conclude(false).await,
    }
    Ok(signed??)
}

async fn evaluate(
    risk: &Risk,
    db: &Db,
    arrival: &Arrival<'_>,
    openid: &Secret<String>,
) -> Result<Evaluation, DbError> {
    if risk.is_off() {
        return Ok(Evaluation::default());
    }
    let facts = Facts {
        customer: store::find_id(db, arrival.tenant, openid).await?,
        origin: arrival.origin.clone(),
        ..Facts::new(Stage::Login, arrival.tenant, db.now())
    };
    risk::evaluate_challengeable(risk, db, facts, ActivityKey::unique()).await
}

/// Finds or makes the customer of this openid and opens a session, if risk's word allows it.
#[derive(Debug)]
pub struct SignIn {
    pub tenant: TenantId,
    pub openid: Secret<String>,
    pub lifetime: SessionLifetime,
    pub risk: Risk,
    pub evaluation: Evaluation,
    pub challenge: Option<ChallengeId>,
}

impl Work for SignIn {
    const NAME: &'static str = "customers.sign_in";
    /// A stop is a *reply*, so that it commits: the decision and the challenge must stay.
    type Reply = Result<SignedIn, Stop>;
    type Error = CustomerError;

    async fn run(&self, tx: &mut Tx) -> Result<Self::Reply, CustomerError> {
        if self.evaluation.action() == Action::Block {
            let cause = tx.new_id(tx.new_lane());
            let noted = self.evaluation.store_in(tx, cause).await?;
            let noted = noted.unwrap_or_else(|| DecisionId::of(cause, Stage::Login.code()));
            return Ok(Err(Stop::Blocked(noted)));
        }
        let customer = find_or_create(tx, self.tenant, &self.openid)
            .await?
            .if_active()?;
        let evaluation = self.answered(tx, customer.id).await?;
        let cause = tx.new_id(customer.id.lane());
        let noted = evaluation.store_in(tx, cause).await?;
        if evaluation.action() == Action::Verify
            && let Some((decision, noted)) = evaluation.decision().zip(noted)
        {
            let challenge =
                risk::open_challenge_in(tx, &decision.facts, customer.id, noted).await?;
            return Ok(Err(Stop::Unverified {
                decision: noted,
                challenge,
            }));
        }
        let subject = Subject::Customer(customer.id);
        let refresh_token = auth::open_session(tx, self.tenant, subject, self.lifetime).await?;
        Ok(Ok(SignedIn {
            customer,
            refresh_token,
        }))
    }
}

impl SignIn {
    /// The evaluation, made again where the person who is there has just answered their challenge.
    /// A challenge that is not theirs or is over answers nothing: they are given another.
    async fn answered(&self, tx: &mut Tx, customer: CustomerId) -> Result<Evaluation, DbError> {
        let evaluation = &self.evaluation;
        if evaluation.action() == Action::Verify
            && let Some(decision) = evaluation.decision()
            && let Some(challenge) = self.challenge
        {
            let since = tx.now().plus_seconds(-self.risk.answer_valid_seconds());
            if risk::answer_challenge_in(tx, &decision.facts, customer, challenge, since).await? {
                return Ok(self.risk.reevaluate_answered(evaluation, challenge));
            }
        }
        Ok(evaluation.clone())
    }
}

/// The customer of this openid, made if there is none. Two first logins at once: the unique key
/// picks one, the other finds it.
pub async fn find_or_create(
    tx: &mut Tx,
    tenant: TenantId,
    openid: &Secret<String>,
) -> Result<Customer, DbError> {
    if let Some(customer) = store::find_by_openid(tx, tenant, openid).await? {
        return Ok(customer);
    }
    let customer = Customer {
        id: CustomerId::new(tx.new_id(tx.new_lane())),
        tenant,
        openid: openid.clone(),
        nickname: None,
        avatar: None,
        status: CustomerStatus::Active,
        created_at: tx.now(),
    };
    match store::insert_customer(tx, &customer).await {
        Ok(()) => Ok(customer),
        Err(error) if error.unique_key().as_deref() == Some("customers_openid") => {
            let found = store::find_by_openid(tx, tenant, openid).await?;
            found.ok_or(DbError::Inconsistent("a customer that is there and is not"))
        }
        Err(error) => Err(error),
    }
}

/// Uses up a refresh token and gives the next.
pub async fn refresh(
    db: &Db,
    lifetime: SessionLifetime,
    token: RefreshToken,
) -> Result<SignedIn, CustomerError> {
    db.run(Refresh { token, lifetime }).await?
}

/// The work behind [`refresh()`]. A refusal is a *reply*, so that it commits: the revocation of a
/// stolen family must stay.
#[derive(Debug)]
pub struct Refresh {
    pub token: RefreshToken,
    pub lifetime: SessionLifetime,
}

impl Work for Refresh {
    const NAME: &'static str = "customers.refresh";
    type Reply = Result<SignedIn, CustomerError>;
    type Error = CustomerError;

    async fn run(&self, tx: &mut Tx) -> Result<Self::Reply, CustomerError> {
        let rotation = auth::rotate_session(tx, &self.token, self.lifetime).await?;
        let (tenant, subject, refresh_token) = match rotation.granted() {
            Ok(granted) => granted,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let Subject::Customer(id) = subject else {
            return Ok(Err(AuthError::RefreshInvalid.into()));
        };
        let customer = store::find_in(tx, tenant, id)
            .await?
            .ok_or(CustomerError::NotFound)?;
        Ok(customer.if_active().map(|customer| SignedIn {
            customer,
            refresh_token,
        }))
    }
}
