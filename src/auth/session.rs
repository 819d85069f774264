//! Sessions: opened at login, rotated at each use of their refresh token.

use super::{
    AuthError,
    refresh_token::{RefreshToken, Session, SessionLifetime, Subject},
    store,
};
use crate::{
    db::{DbError, Tx},
    primitives::{TenantId, Timestamp},
};

/// What became of a refresh token that was shown.
#[derive(Debug)]
pub enum Rotation {
    /// It was good and is used up; this is the next one.
    Rotated {
        tenant: TenantId,
        subject: Subject,
        next: RefreshToken,
    },
    /// Unknown, or its family is revoked.
    Invalid,
    Expired,
    /// It was used before. Its family is revoked now: **commit this**, an error would roll it back.
    Reused,
}

impl Rotation {
    /// Whose token it was and the next one, or the refusal. **Reply with the refusal** rather than
    /// fail with it: the revocation must be committed.
    pub fn granted(self) -> Result<(TenantId, Subject, RefreshToken), AuthError> {
        match self {
            Self::Rotated {
                tenant,
                subject,
                next,
            } => Ok((tenant, subject, next)),
            Self::Invalid => Err(AuthError::RefreshInvalid),
            Self::Expired => Err(AuthError::RefreshExpired),
            Self::Reused => Err(AuthError::RefreshReused),
        }
    }
}

/// Begins a family: somebody logged in.
pub async fn open_session(
    tx: &mut Tx,
    tenant: TenantId,
    subject: Subject,
    lifetime: SessionLifetime,
) -> Result<RefreshToken, DbError> {
    let family = tx.new_id(subject.id().lane());
    add_token(tx, tenant, subject, *family.bytes(), lifetime).await
}

/// Uses a refresh token up and gives the next one of its family.
pub async fn rotate_session(
    tx: &mut Tx,
    token: &RefreshToken,
    lifetime: SessionLifetime,
) -> Result<Rotation, DbError> {
    let Some(session) = store::lock_session(tx, token.hash()).await? else {
        return Ok(Rotation::Invalid);
    };
    match judge(&session, tx.now()) {
        Verdict::Good => {}
        Verdict::Invalid => return Ok(Rotation::Invalid),
        Verdict::Expired => return Ok(Rotation::Expired),
        Verdict::Reused => {
            tracing::warn!(tenant.id = %session.tenant, "a refresh token was used twice: its family is revoked");
            store::revoke_family(tx, session.family).await?;
            return Ok(Rotation::Reused);
        }
    }
    store::use_session(tx, session.id).await?;
    let next = add_token(
        tx,
        session.tenant,
        session.subject,
        session.family,
        lifetime,
    )
    .await?;
    Ok(Rotation::Rotated {
        tenant: session.tenant,
        subject: session.subject,
        next,
    })
}

/// Ends a login: no token of the family is good any more. An unknown token is fine.
pub async fn revoke_session(tx: &mut Tx, token: &RefreshToken) -> Result<(), DbError> {
    match store::lock_session(tx, token.hash()).await? {
        Some(session) => store::revoke_family(tx, session.family).await,
        None => Ok(()),
    }
}

async fn add_token(
    tx: &mut Tx,
    tenant: TenantId,
    subject: Subject,
    family: [u8; 16],
    lifetime: SessionLifetime,
) -> Result<RefreshToken, DbError> {
    let token = RefreshToken::mint(subject.kind(), std::array::from_fn(|_| tx.random()));
    let session = Session {
        id: *tx.new_id(subject.id().lane()).bytes(),
        tenant,
        family,
        subject,
        expires_at: tx.now().plus_seconds(lifetime.seconds),
        used_at: None,
        revoked_at: None,
    };
    store::insert_session(tx, &session, token.hash()).await?;
    Ok(token)
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    Invalid,
    Expired,
    Reused,
}

fn judge(session: &Session, now: Timestamp) -> Verdict {
    if session.revoked_at.is_some() {
        Verdict::Invalid
    } else if session.used_at.is_some() {
        Verdict::Reused
    } else if session.expires_at <= now {
        Verdict::Expired
    } else {
        Verdict::Good
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{CustomerId, Id};

    const NOW: Timestamp = Timestamp::from_micros(1_795_000_000_000_000);

    #[test]
    fn a_used_token_is_reused_unless_its_family_is_revoked_already() {
        let session = |used: bool, revoked: bool, seconds| Session {
            id: [1; 16],
            tenant: TenantId(1),
            family: [2; 16],
            subject: Subject::Customer(CustomerId::new(Id::from_bytes([3; 16]))),
            expires_at: NOW.plus_seconds(seconds),
            used_at: used.then_some(NOW),
            revoked_at: revoked.then_some(NOW),
        };
        assert_eq!(judge(&session(false, false, 1), NOW), Verdict::Good);
        assert_eq!(judge(&session(false, false, 0), NOW), Verdict::Expired);
        assert_eq!(judge(&session(true, false, 1), NOW), Verdict::Reused);
        assert_eq!(judge(&session(true, false, -1), NOW), Verdict::Reused);
        assert_eq!(judge(&session(true, true, 1), NOW), Verdict::Invalid);
        assert_eq!(judge(&session(false, true, 1), NOW), Verdict::Invalid);
    }
}
