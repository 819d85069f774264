//! Every statement on `mini_program_codes`.

use super::CodeDrawing;
use crate::{
    db::{Db, DbError, Tx},
    primitives::TenantId,
};

pub(super) async fn find(
    db: &Db,
    tenant: TenantId,
    drawing: &CodeDrawing,
) -> Result<Option<Vec<u8>>, DbError> {
    Ok(sqlx::query_scalar(
        "/* merchants.find_mini_program_code */ SELECT picture FROM mini_program_codes \
         WHERE code = ? AND tenant_id = ? AND page = ? AND program = ?",
    )
    .bind(drawing.code.as_str())
    .bind(tenant)
    .bind(drawing.page.as_deref().unwrap_or_default())
    .bind(drawing.program.name())
    .fetch_optional(db.pool())
    .await?)
}

pub(super) async fn keep(
    tx: &mut Tx,
    tenant: TenantId,
    drawing: &CodeDrawing,
    picture: &[u8],
) -> Result<(), DbError> {
    let now = tx.now();
    sqlx::query(
        "/* merchants.keep_mini_program_code */ INSERT INTO mini_program_codes \
         (code, tenant_id, page, program, picture, drawn_at) VALUES (?, ?, ?, ?, ?, ?) \
         ON DUPLICATE KEY UPDATE page = VALUES(page), program = VALUES(program), \
         picture = VALUES(picture), drawn_at = VALUES(drawn_at)",
    )
    .bind(drawing.code.as_str())
    .bind(tenant)
    .bind(drawing.page.as_deref().unwrap_or_default())
    .bind(drawing.program.name())
    .bind(picture)
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}
