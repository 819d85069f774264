//! Every statement on `customers`.

use sqlx::{FromRow, MySqlConnection, Row as _, mysql::MySqlRow};

use super::{Customer, CustomerStatus};
use crate::{
    db::{Db, DbError, Tx},
    primitives::{CustomerId, Secret, TenantId},
};

impl FromRow<'_, MySqlRow> for Customer {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        let status: String = row.try_get("status")?;
        Ok(Self {
            id: row.try_get("id")?,
            tenant: row.try_get("tenant_id")?,
            openid: Secret::new(row.try_get("openid")?),
            nickname: row.try_get("nickname")?,
            avatar: row.try_get("avatar")?,
            status: CustomerStatus::parse(&status)
                .ok_or_else(|| sqlx::Error::Decode("a customer's status".into()))?,
            created_at: row.try_get("created_at")?,
        })
    }
}

pub(super) async fn find_customer(
    db: &Db,
    tenant: TenantId,
    id: CustomerId,
) -> Result<Option<Customer>, DbError> {
    let mut conn = db.pool().acquire().await?;
    by_id(&mut conn, tenant, id).await
}

pub(super) async fn find_in(
    tx: &mut Tx,
    tenant: TenantId,
    id: CustomerId,
) -> Result<Option<Customer>, DbError> {
    by_id(tx.conn(), tenant, id).await
}

async fn by_id(
    conn: &mut MySqlConnection,
    tenant: TenantId,
    id: CustomerId,
) -> Result<Option<Customer>, DbError> {
    let customer = sqlx::query_as(
        "/* customers.find_customer */ SELECT id, tenant_id, openid, nickname, avatar, status, created_at \
         FROM customers WHERE id = ? AND tenant_id = ?",
    )
    .bind(id)
    .bind(tenant)
    .fetch_optional(conn)
    .await?;
    Ok(customer)
}

pub(super) async fn find_by_openid(
    tx: &mut Tx,
    tenant: TenantId,
    openid: &Secret<String>,
) -> Result<Option<Customer>, DbError> {
    let customer = sqlx::query_as(
        "/* customers.find_by_openid */ SELECT id, tenant_id, openid, nickname, avatar, status, created_at \
         FROM customers WHERE tenant_id = ? AND openid = ?",
    )
    .bind(tenant)
    .bind(openid.expose())
    .fetch_optional(tx.conn())
    .await?;
    Ok(customer)
}

/// Who it is, before a transaction is opened.
pub(super) async fn find_id(
    db: &Db,
    tenant: TenantId,
    openid: &Secret<String>,
) -> Result<Option<CustomerId>, DbError> {
    let id = sqlx::query_scalar(
        "/* customers.find_id */ SELECT id FROM customers WHERE tenant_id = ? AND openid = ?",
    )
    .bind(tenant)
    .bind(openid.expose())
    .fetch_optional(db.pool())
    .await?;
    Ok(id)
}

pub(super) async fn insert_customer(tx: &mut Tx, customer: &Customer) -> Result<(), DbError> {
    sqlx::query(
        "/* customers.insert_customer */ INSERT INTO customers \
         (id, tenant_id, openid, nickname, avatar, status, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(customer.id)
    .bind(customer.tenant)
    .bind(customer.openid.expose())
    .bind(customer.nickname.as_deref())
    .bind(customer.avatar.as_deref())
    .bind(customer.status.name())
    .bind(customer.created_at)
    .execute(tx.conn())
    .await?;
    Ok(())
}
