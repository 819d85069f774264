//! Every statement of this slice on `idempotency_keys`.

use super::{Claim, StoredAnswer};
use crate::db::{Db, DbError, Tx};

/// Whether the key names an effect already. For what is better not begun twice; what decides is the
/// claim itself.
pub(crate) async fn is_known(db: &Db, claim: &Claim) -> Result<bool, DbError> {
    let known: Option<i64> = sqlx::query_scalar(
        "/* idempotency.is_known */ SELECT 1 FROM idempotency_keys WHERE id = ? AND tenant_id = ?",
    )
    .bind(claim.id.as_slice())
    .bind(claim.tenant)
    .fetch_optional(db.pool())
    .await?;
    Ok(known.is_some())
}

/// False when the key is taken. Waits for a transaction that holds it.
pub(super) async fn insert_claim(tx: &mut Tx, claim: &Claim) -> Result<bool, DbError> {
    let now = tx.now();
    let inserted = sqlx::query(
        "/* idempotency.insert_claim */ INSERT INTO idempotency_keys \
         (id, tenant_id, request_hash, created_at) VALUES (?, ?, ?, ?)",
    )
    .bind(claim.id.as_slice())
    .bind(claim.tenant)
    .bind(claim.request_hash.as_slice())
    .bind(now)
    .execute(tx.conn())
    .await
    .map_err(DbError::from);
    match inserted {
        Ok(_) => Ok(true),
        Err(error) if error.unique_key().is_some() => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) async fn keep_answer(
    tx: &mut Tx,
    id: [u8; 16],
    answer: &StoredAnswer,
) -> Result<(), DbError> {
    let effect = answer.effect.as_ref().map(<[u8; 16]>::as_slice);
    let status = i16::try_from(answer.status)
        .map_err(|_| DbError::Inconsistent("an answer's status does not fit"))?;
    sqlx::query(
        "/* idempotency.keep_answer */ UPDATE idempotency_keys \
         SET effect_id = ?, answer_status = ?, answer = ? WHERE id = ?",
    )
    .bind(effect)
    .bind(status)
    .bind(answer.body.as_slice())
    .bind(id.as_slice())
    .execute(tx.conn())
    .await?;
    Ok(())
}

type Row = (Vec<u8>, Option<Vec<u8>>, Option<i16>, Option<Vec<u8>>);

/// The hash of the input, and the answer.
pub(super) async fn find_answer(
    tx: &mut Tx,
    claim: &Claim,
) -> Result<Option<([u8; 16], Option<StoredAnswer>)>, DbError> {
    let row: Option<Row> = sqlx::query_as(
        "/* idempotency.find_answer */ SELECT request_hash, effect_id, answer_status, answer \
         FROM idempotency_keys WHERE id = ? AND tenant_id = ?",
    )
    .bind(claim.id.as_slice())
    .bind(claim.tenant)
    .fetch_optional(tx.conn())
    .await?;
    row.map(|(hash, effect, status, body)| {
        let answer = match (status, body) {
            (Some(status), Some(body)) => Some(StoredAnswer {
                status: u16::try_from(status)
                    .map_err(|_| DbError::Inconsistent("an answer's status"))?,
                body,
                effect: effect.map(sixteen).transpose()?,
            }),
            (None | Some(_), None) | (None, Some(_)) => None,
        };
        Ok((sixteen(hash)?, answer))
    })
    .transpose()
}

fn sixteen(bytes: Vec<u8>) -> Result<[u8; 16], DbError> {
    bytes
        .try_into()
        .map_err(|_| DbError::Inconsistent("a hash that is not 16 bytes long"))
}
