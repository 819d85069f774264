//! Every statement on `merchants`, `merchant_staff` and `qr_codes`.

use sqlx::{FromRow, MySqlConnection, Row as _, mysql::MySqlRow};

use super::{
    CodeCursor, CodeState, CodeStateKind, CollectionCode, CollectionCodeRow, Counter, Merchant,
    MerchantFilter, MerchantState, MerchantStateKind, Staff, SubMchid,
};
use crate::{
    auth::StaffRole,
    db::{Db, DbError, Sql, Tx},
    primitives::{MerchantId, Money, PageLimit, Secret, StaffId, TenantId, Timestamp},
};

fn strange(what: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}

// --- merchants

impl FromRow<'_, MySqlRow> for Merchant {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            tenant: row.try_get("tenant_id")?,
            name: row.try_get("name")?,
            contact_name: Secret::new(row.try_get("contact_name")?),
            contact_phone: Secret::new(row.try_get("contact_phone")?),
            business_license: row.try_get("business_license")?,
            address: row.try_get("address")?,
            state: read_state(row)?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
        })
    }
}

fn read_state(row: &MySqlRow) -> Result<MerchantState, sqlx::Error> {
    let kind: String = row.try_get("state")?;
    let number: Option<String> = row.try_get("sub_mchid")?;
    let number = || {
        let number = number
            .as_deref()
            .ok_or_else(|| strange("a merchant without its number"))?;
        SubMchid::parse(number).map_err(|_| strange("a merchant's number"))
    };
    let reason = || {
        row.try_get::<Option<String>, _>("state_reason")
            .map(Option::unwrap_or_default)
    };
    Ok(
        match MerchantStateKind::from_name(&kind).ok_or_else(|| strange("a merchant's state"))? {
            MerchantStateKind::Pending => MerchantState::Pending,
            MerchantStateKind::Approved => MerchantState::Approved {
                sub_mchid: number()?,
            },
            MerchantStateKind::Rejected => MerchantState::Rejected { reason: reason()? },
            MerchantStateKind::Suspended => MerchantState::Suspended {
                sub_mchid: number()?,
                reason: reason()?,
            },
        },
    )
}

pub(super) async fn insert_merchant(tx: &mut Tx, merchant: &Merchant) -> Result<(), DbError> {
    sqlx::query(
        "/* merchants.insert_merchant */ INSERT INTO merchants \
         (id, tenant_id, name, contact_name, contact_phone, business_license, address, \
         sub_mchid, state, state_reason, created_at, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(merchant.id)
    .bind(merchant.tenant)
    .bind(&merchant.name)
    .bind(merchant.contact_name.expose())
    .bind(merchant.contact_phone.expose())
    .bind(&merchant.business_license)
    .bind(&merchant.address)
    .bind(merchant.state.sub_mchid().map(SubMchid::as_str))
    .bind(merchant.state.kind().name())
    .bind(merchant.state.reason())
    .bind(merchant.created_at)
    .bind(merchant.updated_at)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn update_state(
    tx: &mut Tx,
    merchant: &Merchant,
    from: MerchantStateKind,
) -> Result<(), DbError> {
    let updated = sqlx::query(
        "/* merchants.update_state */ UPDATE merchants \
         SET sub_mchid = ?, state = ?, state_reason = ?, updated_at = ? \
         WHERE id = ? AND tenant_id = ? AND state = ?",
    )
    .bind(merchant.state.sub_mchid().map(SubMchid::as_str))
    .bind(merchant.state.kind().name())
    .bind(merchant.state.reason())
    .bind(merchant.updated_at)
    .bind(merchant.id)
    .bind(merchant.tenant)
    .bind(from.name())
    .execute(tx.conn())
    .await?;
    expect_one(updated.rows_affected())
}

/// Says under which account the merchant has its number. Fails at the key `merchants_sub_mchid`
/// when another merchant has it there.
pub(super) async fn claim_number(
    tx: &mut Tx,
    id: MerchantId,
    account: &SubMchid,
) -> Result<(), DbError> {
    let updated = sqlx::query(
        "/* merchants.claim_number */ UPDATE merchants SET sub_mchid_under = ? WHERE id = ?",
    )
    .bind(account.as_str())
    .bind(id)
    .execute(tx.conn())
    .await?;
    expect_one(updated.rows_affected())
}

/// Which of the tenant's merchants has the number; none when it is another tenant's.
pub(super) async fn find_holder(
    tx: &mut Tx,
    tenant: TenantId,
    account: &SubMchid,
    number: &SubMchid,
) -> Result<Option<MerchantId>, DbError> {
    Ok(sqlx::query_scalar(
        "/* merchants.find_holder */ SELECT id FROM merchants \
         WHERE sub_mchid_under = ? AND sub_mchid = ? AND tenant_id = ?",
    )
    .bind(account.as_str())
    .bind(number.as_str())
    .bind(tenant)
    .fetch_optional(tx.conn())
    .await?)
}

pub(super) async fn lock_merchant(
    tx: &mut Tx,
    tenant: TenantId,
    id: MerchantId,
) -> Result<Option<Merchant>, DbError> {
    Ok(sqlx::query_as(
        "/* merchants.lock_merchant */ SELECT id, tenant_id, name, contact_name, contact_phone, \
         business_license, address, sub_mchid, state, state_reason, created_at, updated_at \
         FROM merchants WHERE id = ? AND tenant_id = ? FOR UPDATE",
    )
    .bind(id)
    .bind(tenant)
    .fetch_optional(tx.conn())
    .await?)
}

pub(super) async fn find_merchant(
    db: &Db,
    tenant: TenantId,
    id: MerchantId,
) -> Result<Option<Merchant>, DbError> {
    let mut conn = db.pool().acquire().await?;
    merchant_by_id(&mut conn, tenant, id).await
}

pub(super) async fn is_open(db: &Db, tenant: TenantId, id: MerchantId) -> Result<bool, DbError> {
    let state: Option<String> = sqlx::query_scalar(
        "/* merchants.find_state */ SELECT state FROM merchants WHERE id = ? AND tenant_id = ?",
    )
    .bind(id)
    .bind(tenant)
    .fetch_optional(db.pool())
    .await?;
    Ok(state.as_deref() == Some(MerchantStateKind::Approved.name()))
}

pub(super) async fn find_merchant_in(
    tx: &mut Tx,
    tenant: TenantId,
    id: MerchantId,
) -> Result<Option<Merchant>, DbError> {
    merchant_by_id(tx.conn(), tenant, id).await
}

async fn merchant_by_id(
    conn: &mut MySqlConnection,
    tenant: TenantId,
    id: MerchantId,
) -> Result<Option<Merchant>, DbError> {
    Ok(sqlx::query_as(
        "/* merchants.find_merchant */ SELECT id, tenant_id, name, contact_name, contact_phone, \
         business_license, address, sub_mchid, state, state_reason, created_at, updated_at \
         FROM merchants WHERE id = ? AND tenant_id = ?",
    )
    .bind(id)
    .bind(tenant)
    .fetch_optional(conn)
    .await?)
}

pub(super) async fn list_merchants(
    db: &Db,
    tenant: TenantId,
    filter: &MerchantFilter,
    before: Option<MerchantId>,
    limit: PageLimit,
) -> Result<Vec<Merchant>, DbError> {
    // Above every id: the first page.
    let before = before.map_or([0xff; 16], |id| *id.bytes());
    let mut sql = Sql::new(
        "SELECT /* merchants.list_merchants */ id, tenant_id, name, contact_name, contact_phone, \
         business_license, address, sub_mchid, state, state_reason, created_at, updated_at \
         FROM merchants WHERE tenant_id = ",
    );
    sql.int(tenant.0).push(" AND id < ").bytes(&before);
    if let Some(state) = filter.state {
        sql.push(" AND state = ").text(state.name());
    }
    if let Some(number) = &filter.sub_mchid {
        sql.push(" AND sub_mchid = ").text(number.as_str());
    }
    sql.push(" ORDER BY id DESC LIMIT ").int(limit.probe());
    let rows = sqlx::raw_sql(sql.into_statement())
        .fetch_all(db.pool())
        .await?;
    rows.iter()
        .map(|row| Merchant::from_row(row).map_err(DbError::from))
        .collect()
}

// --- merchant_staff

impl FromRow<'_, MySqlRow> for Staff {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        let role: String = row.try_get("role")?;
        Ok(Self {
            id: row.try_get("id")?,
            tenant: row.try_get("tenant_id")?,
            merchant: row.try_get("merchant_id")?,
            role: StaffRole::from_name(&role).ok_or_else(|| strange("a role"))?,
        })
    }
}

pub(super) async fn insert_staff(
    tx: &mut Tx,
    staff: &Staff,
    openid: &Secret<String>,
) -> Result<(), DbError> {
    let now = tx.now();
    sqlx::query(
        "/* merchants.insert_staff */ INSERT INTO merchant_staff \
         (id, tenant_id, merchant_id, openid, role, status, created_at) \
         VALUES (?, ?, ?, ?, ?, 'active', ?)",
    )
    .bind(staff.id)
    .bind(staff.tenant)
    .bind(staff.merchant)
    .bind(openid.expose())
    .bind(staff.role.name())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// To another merchant, with another role.
pub(super) async fn move_staff(tx: &mut Tx, staff: &Staff) -> Result<(), DbError> {
    let moved = sqlx::query(
        "/* merchants.move_staff */ UPDATE merchant_staff \
         SET merchant_id = ?, role = ?, status = 'active' WHERE id = ? AND tenant_id = ?",
    )
    .bind(staff.merchant)
    .bind(staff.role.name())
    .bind(staff.id)
    .bind(staff.tenant)
    .execute(tx.conn())
    .await?;
    expect_one(moved.rows_affected())
}

/// Removed staff too: whoever registers a merchant has one row.
pub(super) async fn lock_staff_by_openid(
    tx: &mut Tx,
    tenant: TenantId,
    openid: &Secret<String>,
) -> Result<Option<Staff>, DbError> {
    Ok(sqlx::query_as(
        "/* merchants.lock_staff_by_openid */ SELECT id, tenant_id, merchant_id, role \
         FROM merchant_staff WHERE tenant_id = ? AND openid = ? FOR UPDATE",
    )
    .bind(tenant)
    .bind(openid.expose())
    .fetch_optional(tx.conn())
    .await?)
}

pub(super) async fn find_staff_by_openid(
    tx: &mut Tx,
    tenant: TenantId,
    openid: &Secret<String>,
) -> Result<Option<Staff>, DbError> {
    Ok(sqlx::query_as(
        "/* merchants.find_staff_by_openid */ SELECT id, tenant_id, merchant_id, role \
         FROM merchant_staff WHERE tenant_id = ? AND openid = ? AND status = 'active'",
    )
    .bind(tenant)
    .bind(openid.expose())
    .fetch_optional(tx.conn())
    .await?)
}

pub(super) async fn find_staff(
    tx: &mut Tx,
    tenant: TenantId,
    id: StaffId,
) -> Result<Option<Staff>, DbError> {
    Ok(sqlx::query_as(
        "/* merchants.find_staff */ SELECT id, tenant_id, merchant_id, role \
         FROM merchant_staff WHERE id = ? AND tenant_id = ? AND status = 'active'",
    )
    .bind(id)
    .bind(tenant)
    .fetch_optional(tx.conn())
    .await?)
}

// --- qr_codes

impl FromRow<'_, MySqlRow> for CollectionCodeRow {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        let code: String = row.try_get("code")?;
        let state: String = row.try_get("state")?;
        let disabled_at: Option<Timestamp> = row.try_get("disabled_at")?;
        Ok(Self {
            code: code.parse().map_err(|_| strange("a collection code"))?,
            tenant: row.try_get("tenant_id")?,
            merchant: row.try_get("merchant_id")?,
            label: row.try_get("label")?,
            amount: read_amount(row)?,
            state: match (CodeStateKind::from_name(&state), disabled_at) {
                (Some(CodeStateKind::Active), None) => CodeState::Active,
                (Some(CodeStateKind::Disabled), Some(disabled_at)) => {
                    CodeState::Disabled { disabled_at }
                }
                _ => return Err(strange("a collection code's state")),
            },
            created_at: row.try_get("created_at")?,
        })
    }
}

fn read_amount(row: &MySqlRow) -> Result<Option<Money>, sqlx::Error> {
    let fen: Option<i64> = row.try_get("amount_fen")?;
    fen.map(Money::parse)
        .transpose()
        .map_err(|_| strange("a collection code's amount"))
}

pub(super) async fn insert_code(tx: &mut Tx, row: &CollectionCodeRow) -> Result<(), DbError> {
    sqlx::query(
        "/* merchants.insert_code */ INSERT INTO qr_codes \
         (code, tenant_id, merchant_id, label, amount_fen, state, created_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(row.code.as_str())
    .bind(row.tenant)
    .bind(row.merchant)
    .bind(&row.label)
    .bind(row.amount.map(Money::get))
    .bind(row.state.kind().name())
    .bind(row.created_at)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn disable_code(tx: &mut Tx, code: CollectionCode) -> Result<(), DbError> {
    let now = tx.now();
    let disabled = sqlx::query(
        "/* merchants.disable_code */ UPDATE qr_codes SET state = 'disabled', disabled_at = ? \
         WHERE code = ? AND state = 'active'",
    )
    .bind(now)
    .bind(code.as_str())
    .execute(tx.conn())
    .await?;
    expect_one(disabled.rows_affected())
}

pub(super) async fn lock_code(
    tx: &mut Tx,
    tenant: TenantId,
    merchant: MerchantId,
    code: CollectionCode,
) -> Result<Option<CollectionCodeRow>, DbError> {
    Ok(sqlx::query_as(
        "/* merchants.lock_code */ SELECT code, tenant_id, merchant_id, label, amount_fen, state, \
         created_at, disabled_at FROM qr_codes \
         WHERE code = ? AND tenant_id = ? AND merchant_id = ? FOR UPDATE",
    )
    .bind(code.as_str())
    .bind(tenant)
    .bind(merchant)
    .fetch_optional(tx.conn())
    .await?)
}

pub(super) async fn find_code(
    db: &Db,
    tenant: TenantId,
    merchant: MerchantId,
    code: CollectionCode,
) -> Result<Option<CollectionCodeRow>, DbError> {
    Ok(sqlx::query_as(
        "/* merchants.find_code */ SELECT code, tenant_id, merchant_id, label, amount_fen, state, \
         created_at, disabled_at FROM qr_codes WHERE code = ? AND tenant_id = ? AND merchant_id = ?",
    )
    .bind(code.as_str())
    .bind(tenant)
    .bind(merchant)
    .fetch_optional(db.pool())
    .await?)
}

pub(super) async fn list_codes(
    db: &Db,
    tenant: TenantId,
    merchant: MerchantId,
    before: Option<CodeCursor>,
    limit: PageLimit,
) -> Result<Vec<CollectionCodeRow>, DbError> {
    // The last microsecond that a DATETIME(6) holds, and a code above all codes.
    let end = Timestamp::from_micros(253_402_300_799_999_999);
    let (created_at, code) = before
        .as_ref()
        .map_or((end, "~"), |at| (at.created_at, at.code.as_str()));
    Ok(sqlx::query_as(
        "/* merchants.list_codes */ SELECT code, tenant_id, merchant_id, label, amount_fen, state, \
         created_at, disabled_at FROM qr_codes WHERE merchant_id = ? AND tenant_id = ? \
         AND created_at <= ? AND (created_at < ? OR code < ?) \
         ORDER BY created_at DESC, code DESC LIMIT ?",
    )
    .bind(merchant)
    .bind(tenant)
    .bind(created_at)
    .bind(created_at)
    .bind(code)
    .bind(limit.probe())
    .fetch_all(db.pool())
    .await?)
}

pub(super) async fn list_active_codes(
    db: &Db,
    tenant: TenantId,
    merchant: MerchantId,
) -> Result<Vec<CollectionCode>, DbError> {
    let codes: Vec<(String,)> = sqlx::query_as(
        "/* merchants.list_active_codes */ SELECT code FROM qr_codes \
         WHERE merchant_id = ? AND tenant_id = ? AND state = 'active'",
    )
    .bind(merchant)
    .bind(tenant)
    .fetch_all(db.pool())
    .await?;
    codes
        .into_iter()
        .map(|(code,)| {
            code.parse()
                .map_err(|_| DbError::Inconsistent("a collection code"))
        })
        .collect()
}

/// What a code stands for, whichever tenant's it is: whoever scans it knows nothing else.
pub(super) async fn find_counter_of_any_tenant(
    db: &Db,
    code: CollectionCode,
) -> Result<Option<Counter>, DbError> {
    let row = sqlx::query(
        "/* merchants.find_counter_of_any_tenant */ SELECT q.tenant_id, m.name, q.label, q.amount_fen, \
         CAST(q.state = 'active' AND m.state = 'approved' AS SIGNED) AS open \
         FROM qr_codes q JOIN merchants m ON m.id = q.merchant_id WHERE q.code = ?",
    )
    .bind(code.as_str())
    .fetch_optional(db.pool())
    .await?;
    let counter = |row: &MySqlRow| {
        Ok::<_, sqlx::Error>(Counter {
            tenant: row.try_get("tenant_id")?,
            merchant_name: row.try_get("name")?,
            label: row.try_get("label")?,
            amount: read_amount(row)?,
            open: row.try_get::<i64, _>("open")? != 0,
        })
    };
    Ok(row.as_ref().map(counter).transpose()?)
}

/// Notes whether payments of a merchant are shared: its new orders are made with the money frozen.
/// For whoever changes the rule of its sharing, which has locked the merchant.
pub(crate) async fn mark_sharing(
    tx: &mut Tx,
    tenant: TenantId,
    merchant: MerchantId,
    shares: bool,
) -> Result<(), DbError> {
    sqlx::query(
        "/* merchants.mark_sharing */ UPDATE merchants SET sharing = ? WHERE id = ? AND tenant_id = ?",
    )
    .bind(shares)
    .bind(merchant)
    .bind(tenant)
    .execute(tx.conn())
    .await?;
    Ok(())
}

fn expect_one(rows: u64) -> Result<(), DbError> {
    if rows == 1 {
        Ok(())
    } else {
        Err(DbError::Inconsistent("a locked row changed"))
    }
}
