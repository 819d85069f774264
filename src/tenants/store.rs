//! The tenants' table.

use sqlx::FromRow;

use crate::{
    db::{Db, DbError, Tx},
    primitives::TenantId,
};

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Tenant {
    pub id: TenantId,
    pub code: String,
    pub name: String,
}

pub(super) async fn insert(tx: &mut Tx, code: &str, name: &str) -> Result<TenantId, DbError> {
    let now = tx.now();
    let made = sqlx::query(
        "/* tenants.insert */ INSERT INTO tenants (code, name, created_at) VALUES (?, ?, ?)",
    )
    .bind(code)
    .bind(name)
    .bind(now)
    .execute(tx.conn())
    .await?;
    u32::try_from(made.last_insert_id())
        .map(TenantId)
        .map_err(|_| DbError::Inconsistent("too many tenants"))
}

/// The database takes `demo` and `demo  ` for one (its collations pad with blanks); what is said
/// here is what is meant.
pub async fn find_by_code(db: &Db, code: &str) -> Result<Option<Tenant>, DbError> {
    let tenant: Option<Tenant> = sqlx::query_as(
        "/* tenants.find_by_code */ SELECT id, code, name FROM tenants WHERE code = ?",
    )
    .bind(code)
    .fetch_optional(db.pool())
    .await?;
    Ok(tenant.filter(|tenant| tenant.code == code))
}

/// The tenant, if there is one of this number.
pub(super) async fn exists(db: &Db, id: TenantId) -> Result<Option<TenantId>, DbError> {
    Ok(
        sqlx::query_scalar("/* tenants.exists */ SELECT id FROM tenants WHERE id = ?")
            .bind(id)
            .fetch_optional(db.pool())
            .await?,
    )
}

pub async fn list(db: &Db) -> Result<Vec<Tenant>, DbError> {
    Ok(
        sqlx::query_as("/* tenants.list */ SELECT id, code, name FROM tenants ORDER BY id")
            .fetch_all(db.pool())
            .await?,
    )
}
