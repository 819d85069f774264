//! A person comes in through WeChat, for the first time or again.

use super::{Customer, CustomerError, CustomerStatus, store};
use crate::{
    auth::{self, AuthError, Principal, RefreshToken, SessionLifetime, Subject, WechatLogin},
    db::{Db, DbError, Tx, Work},
    primitives::{CustomerId, Secret, TenantId},
};

/// A customer who is in, and the token to stay in.
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

/// Exchanges the code of `wx.login` and opens a session. WeChat is asked before, not inside, the transaction.
pub async fn sign_in(
    db: &Db,
    login: &dyn WechatLogin,
    lifetime: SessionLifetime,
    tenant: TenantId,
    code: &str,
) -> Result<SignedIn, CustomerError> {
    let identity = login.exchange(code).await?;
    db.run(SignIn {
        tenant,
        openid: identity.openid,
        lifetime,
    })
    .await
}

/// Finds or makes the customer of this openid and opens a session.
#[derive(Debug)]
pub struct SignIn {
    pub tenant: TenantId,
    pub openid: Secret<String>,
    pub lifetime: SessionLifetime,
}

impl Work for SignIn {
    const NAME: &'static str = "customers.sign_in";
    type Reply = SignedIn;
    type Error = CustomerError;

    async fn run(&self, tx: &mut Tx) -> Result<SignedIn, CustomerError> {
        let customer = find_or_create(tx, self.tenant, &self.openid)
            .await?
            .if_active()?;
        let subject = Subject::Customer(customer.id);
        let refresh_token = auth::open_session(tx, self.tenant, subject, self.lifetime).await?;
        Ok(SignedIn {
            customer,
            refresh_token,
        })
    }
}

/// The customer of this openid, made if there is none. Two first logins at once: the unique key picks one, the other finds it.
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

/// The work behind [`refresh()`]. A refusal is a *reply*, so that it commits: the revocation of a stolen family must stay.
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
