//! Runs a [`Work`] at most once per claim.

use std::{error::Error, fmt};

use serde::Serialize;

use super::{Claim, store};
use crate::db::{Db, DbError, Tx, Work};

/// What the caller is told: a status and a JSON body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    pub status: u16,
    pub body: Vec<u8>,
    /// The id of what was made, to lead from the key to its effect.
    pub effect: Option<[u8; 16]>,
}

impl StoredAnswer {
    pub fn json(
        status: u16,
        effect: Option<[u8; 16]>,
        body: &impl Serialize,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            status,
            body: serde_json::to_vec(body)?,
            effect,
        })
    }
}

/// An answer, and whether it was given before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnceAnswer {
    pub answer: StoredAnswer,
    pub replayed: bool,
}

/// Why there is no answer. `E` is what the wrapped work can fail with.
#[derive(Debug, thiserror::Error)]
pub enum OnceError<E: Error + 'static> {
    /// The key was used for another input.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error("the answer cannot be written as JSON")]
    Unwritable(#[source] serde_json::Error),
    #[error("the work was refused or failed")]
    Work(#[source] E),
    #[error("database failure at the idempotency key")]
    Db(#[from] DbError),
}

/// Claims the key, runs `work` and keeps its answer, all in one transaction; or gives back the
/// answer that was kept.
///
/// `render` turns the reply into the answer. It is called inside the transaction and must be pure.
pub async fn once<W, R>(
    db: &Db,
    claim: Claim,
    work: W,
    render: R,
) -> Result<OnceAnswer, OnceError<W::Error>>
where
    W: Work,
    R: Fn(&W::Reply) -> Result<StoredAnswer, serde_json::Error> + Send + Sync + 'static,
{
    db.run(Once {
        claim,
        work,
        render,
    })
    .await
}

struct Once<W, R> {
    claim: Claim,
    work: W,
    render: R,
}

impl<W, R> fmt::Debug for Once<W, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once")
            .field("claim", &self.claim)
            .finish_non_exhaustive()
    }
}

impl<W, R> Work for Once<W, R>
where
    W: Work,
    R: Fn(&W::Reply) -> Result<StoredAnswer, serde_json::Error> + Send + Sync + 'static,
{
    const NAME: &'static str = W::NAME;
    type Reply = OnceAnswer;
    type Error = OnceError<W::Error>;

    async fn run(&self, tx: &mut Tx) -> Result<OnceAnswer, Self::Error> {
        if !store::insert_claim(tx, &self.claim).await? {
            let kept = store::find_answer(tx, &self.claim).await?;
            let (request_hash, answer) = kept.ok_or(DbError::Inconsistent(
                "an idempotency key that is there and is not",
            ))?;
            if request_hash != self.claim.request_hash {
                return Err(OnceError::KeyReused);
            }
            let answer =
                answer.ok_or(DbError::Inconsistent("an idempotency key without answer"))?;
            return Ok(OnceAnswer {
                answer,
                replayed: true,
            });
        }
        let reply = self.work.run(tx).await.map_err(OnceError::Work)?;
        let answer = (self.render)(&reply).map_err(OnceError::Unwritable)?;
        store::keep_answer(tx, self.claim.id, &answer).await?;
        Ok(OnceAnswer {
            answer,
            replayed: false,
        })
    }
}
