//! A member of a merchant's staff comes in through WeChat.

use super::{Merchant, MerchantError, Staff, store};
use crate::{
    auth::{self, AuthError, RefreshToken, SessionLifetime, Subject, WechatLogin},
    db::{Db, DbError, Tx, Work},
    primitives::{Secret, TenantId},
};

/// A person who is in, their merchant, and the token to stay in.
#[derive(Debug, Clone)]
pub struct SignedInStaff {
    pub staff: Staff,
    pub merchant: Merchant,
    pub refresh_token: RefreshToken,
}

/// Exchanges the code of `wx.login` and opens a session. WeChat is asked before, not inside, the
/// transaction.
pub async fn sign_in(
    db: &Db,
    login: &dyn WechatLogin,
    lifetime: SessionLifetime,
    tenant: TenantId,
    code: &str,
) -> Result<SignedInStaff, MerchantError> {
    let identity = login.exchange(code).await?;
    db.run(SignInStaff {
        tenant,
        openid: identity.openid,
        lifetime,
    })
    .await
}

/// Opens a session for the member of staff with this openid, whatever state the merchant is in: a
/// pending owner wants to see that it is pending.
#[derive(Debug)]
pub struct SignInStaff {
    pub tenant: TenantId,
    pub openid: Secret<String>,
    pub lifetime: SessionLifetime,
}

impl Work for SignInStaff {
    const NAME: &'static str = "merchants.sign_in";
    type Reply = SignedInStaff;
    type Error = MerchantError;

    async fn run(&self, tx: &mut Tx) -> Result<SignedInStaff, MerchantError> {
        let staff = store::find_staff_by_openid(tx, self.tenant, &self.openid).await?;
        let staff = staff.ok_or(MerchantError::NotStaff)?;
        let merchant = merchant_of(tx, &staff).await?;
        let subject = Subject::Staff(staff.id);
        let refresh_token = auth::open_session(tx, self.tenant, subject, self.lifetime).await?;
        Ok(SignedInStaff {
            staff,
            merchant,
            refresh_token,
        })
    }
}

/// Uses up a refresh token and gives the next.
pub async fn refresh(
    db: &Db,
    lifetime: SessionLifetime,
    token: RefreshToken,
) -> Result<SignedInStaff, MerchantError> {
    db.run(RefreshStaff { token, lifetime }).await?
}

/// The work behind [`refresh()`]. A refusal is a *reply*, so that it commits: the revocation of a
/// stolen family must stay.
#[derive(Debug)]
pub struct RefreshStaff {
    pub token: RefreshToken,
    pub lifetime: SessionLifetime,
}

impl Work for RefreshStaff {
    const NAME: &'static str = "merchants.refresh";
    type Reply = Result<SignedInStaff, MerchantError>;
    type Error = MerchantError;

    async fn run(&self, tx: &mut Tx) -> Result<Self::Reply, MerchantError> {
        let rotation = auth::rotate_session(tx, &self.token, self.lifetime).await?;
        let (tenant, subject, refresh_token) = match rotation.granted() {
            Ok(granted) => granted,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let Subject::Staff(id) = subject else {
            return Ok(Err(AuthError::RefreshInvalid.into()));
        };
        let staff = store::find_staff(tx, tenant, id)
            .await?
            .ok_or(MerchantError::NotStaff)?;
        let merchant = merchant_of(tx, &staff).await?;
        Ok(Ok(SignedInStaff {
            staff,
            merchant,
            refresh_token,
        }))
    }
}

async fn merchant_of(tx: &mut Tx, staff: &Staff) -> Result<Merchant, DbError> {
    let merchant = store::find_merchant_in(tx, staff.tenant, staff.merchant).await?;
    merchant.ok_or(DbError::Inconsistent(
        "staff of a merchant that does not exist",
    ))
}
