//! The receivers of shares of a merchant's payments.
//!
//! ```text
//! pending ──▶ active ──▶ removed ──▶ pending (added again)
//!    └──────▶ refused ─────────────▶ pending (added again)
//! ```
//!
//! A receiver that is added is *pending* until WeChat accepts it. The full name goes to WeChat and
//! is not stored, so no job can repeat the call: the caller repeats the request. A receiver that is
//! removed is removed here first, so that no rule can name it, and then at WeChat; in the other
//! order a rule could name one that WeChat does not know.

use sqlx::{FromRow, Row as _, mysql::MySqlRow};

use super::{ReceiverKind, SharingError};
use crate::{
    db::{Db, DbError, Tx},
    primitives::{Length, MerchantId, ReceiverId, Secret, TenantId, Text, Timestamp, coded},
};

/// WeChat's values for what a receiver is to the merchant (`relation_type`).
const RELATIONS: [&str; 11] = [
    "SERVICE_PROVIDER",
    "STORE",
    "STAFF",
    "STORE_OWNER",
    "PARTNER",
    "HEADQUARTER",
    "BRAND",
    "DISTRIBUTOR",
    "USER",
    "SUPPLIER",
    "CUSTOM",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    pub id: ReceiverId,
    pub tenant: TenantId,
    pub merchant: MerchantId,
    pub kind: ReceiverKind,
    /// A merchant number or an openid.
    pub account: Secret<String>,
    pub name_masked: Option<String>,
    pub relation: String,
    pub state: ReceiverState,
    /// WeChat's reason for refusing it.
    pub problem: Option<String>,
    pub created_at: Timestamp,
}

coded! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ReceiverState {
        /// WeChat has not confirmed it.
        Pending => "pending",
        Active => "active",
        Removed => "removed",
        Refused => "refused",
    }
}

impl Receiver {
    /// Returns the account as it may be shown: a merchant number in full, of an openid the last
    /// four characters.
    pub fn account_masked(&self) -> String {
        mask_account(self.kind, &self.account)
    }
}

/// Implements [`Receiver::account_masked`].
pub(super) fn mask_account(kind: ReceiverKind, account: &Secret<String>) -> String {
    let account = account.expose();
    match kind {
        ReceiverKind::Merchant => account.clone(),
        ReceiverKind::Person => {
            let tail: Vec<char> = account.chars().rev().take(4).collect();
            format!("****{}", tail.into_iter().rev().collect::<String>())
        }
    }
}

/// Returns the first character, and a star for each further one up to five.
pub(super) fn mask_name(name: &str) -> String {
    let mut letters = name.chars();
    let first: String = letters.next().into_iter().collect();
    first + &"*".repeat(letters.count().min(5))
}

/// A valid request to add a receiver.
#[derive(Debug, Clone)]
pub struct ReceiverForm {
    pub(super) kind: ReceiverKind,
    pub(super) account: Secret<String>,
    pub(super) name: Option<Secret<String>>,
    pub(super) relation: String,
}

impl ReceiverForm {
    /// Fails with [`SharingError::Field`]: a merchant number is 1 to 32 digits, an openid 1 to 64
    /// letters, digits, `_` and `-`; a name is at most 64 characters and needed for merchants; the
    /// relation is one of WeChat's words.
    pub fn parse(
        kind: ReceiverKind,
        account: String,
        name: Option<String>,
        relation: String,
    ) -> Result<Self, SharingError> {
        let field = |field, expected| Err(SharingError::Field { field, expected });
        let plain = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-');
        let name = name.filter(|name| !name.trim().is_empty());
        match kind {
            ReceiverKind::Merchant => {
                let digits = account.bytes().all(|letter| letter.is_ascii_digit());
                if !(1..=32).contains(&account.len()) || !digits {
                    return field("account", "a merchant number");
                }
                if name.is_none() {
                    return field("name", "the merchant's full name");
                }
            }
            ReceiverKind::Person => {
                if !(1..=64).contains(&account.len()) || !account.bytes().all(plain) {
                    return field("account", "an openid");
                }
            }
        }
        let fits = |name: &String| Text::parse(name, Length::Characters(1, 64)).is_ok();
        if !name.as_ref().is_none_or(fits) {
            return field("name", "at most 64 characters of text in one line");
        }
        if !RELATIONS.contains(&relation.as_str()) {
            return field(
                "relation",
                "one of WeChat's words, such as SERVICE_PROVIDER",
            );
        }
        Ok(Self {
            kind,
            account: Secret::new(account),
            name: name.map(Secret::new),
            relation,
        })
    }
}

const COLUMNS: &str =
    "id, tenant_id, merchant_id, kind, account, name_masked, relation, state, problem, created_at";

impl FromRow<'_, MySqlRow> for Receiver {
    fn from_row(row: &MySqlRow) -> Result<Self, sqlx::Error> {
        let strange = |what: &'static str| sqlx::Error::Decode(what.into());
        let (kind, state): (String, String) = (row.try_get("kind")?, row.try_get("state")?);
        Ok(Self {
            id: row.try_get("id")?,
            tenant: row.try_get("tenant_id")?,
            merchant: row.try_get("merchant_id")?,
            kind: ReceiverKind::from_name(&kind).ok_or(strange("sharing_receivers.kind"))?,
            account: Secret::new(row.try_get("account")?),
            name_masked: row.try_get("name_masked")?,
            relation: row.try_get("relation")?,
            state: ReceiverState::from_name(&state).ok_or(strange("sharing_receivers.state"))?,
            problem: row.try_get("problem")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

/// Returns a merchant's receivers, newest first. They are few.
pub async fn list_receivers(
    db: &Db,
    tenant: TenantId,
    merchant: MerchantId,
) -> Result<Vec<Receiver>, DbError> {
    let statement = format!(
        "/* sharing.list_receivers */ SELECT {COLUMNS} FROM sharing_receivers WHERE merchant_id = ? AND tenant_id = ? ORDER BY id DESC"
    );
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(statement))
        .bind(merchant)
        .bind(tenant)
        .fetch_all(db.pool())
        .await?)
}

/// Fails with [`SharingError::ReceiverNotFound`].
pub(super) async fn get_receiver(
    db: &Db,
    tenant: TenantId,
    id: ReceiverId,
) -> Result<Receiver, SharingError> {
    let statement = format!(
        "/* sharing.find_receiver */ SELECT {COLUMNS} FROM sharing_receivers WHERE id = ? AND tenant_id = ?"
    );
    let found: Option<Receiver> = sqlx::query_as(sqlx::AssertSqlSafe(statement))
        .bind(id)
        .bind(tenant)
        .fetch_optional(db.pool())
        .await
        .map_err(DbError::from)?;
    found.ok_or(SharingError::ReceiverNotFound)
}

/// Locks the merchant's row, which serialises changes of its receivers and its rule.
pub(super) async fn lock_merchant(
    tx: &mut Tx,
    tenant: TenantId,
    merchant: MerchantId,
) -> Result<(), SharingError> {
    let merchant = sqlx::query(
        "/* sharing.lock_merchant */ SELECT id FROM merchants WHERE id = ? AND tenant_id = ? FOR UPDATE",
    )
    .bind(merchant)
    .bind(tenant)
    .fetch_optional(tx.conn())
    .await
    .map_err(DbError::from)?;
    merchant.map(|_| ()).ok_or(SharingError::MerchantNotFound)
}

/// Returns the merchant's `sub_mchid`. Fails if it has none.
pub(super) async fn sub_mchid_of(
    db: &Db,
    tenant: TenantId,
    merchant: MerchantId,
) -> Result<String, SharingError> {
    let merchant: Option<(Option<String>,)> = sqlx::query_as(
        "/* sharing.sub_mchid_of */ SELECT sub_mchid FROM merchants WHERE id = ? AND tenant_id = ?",
    )
    .bind(merchant)
    .bind(tenant)
    .fetch_optional(db.pool())
    .await
    .map_err(DbError::from)?;
    let (number,) = merchant.ok_or(SharingError::MerchantNotFound)?;
    number.ok_or(SharingError::MerchantNotApproved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_names_its_wrong_field() {
        let parse = |kind, account: &str, name: Option<&str>, relation: &str| {
            let form = ReceiverForm::parse(
                kind,
                account.to_owned(),
                name.map(str::to_owned),
                relation.to_owned(),
            );
            form.map(|_| ()).map_err(|error| {
                let SharingError::Field { field, .. } = error else {
                    panic!("{error}")
                };
                field
            })
        };
        let (merchant, person) = (ReceiverKind::Merchant, ReceiverKind::Person);
        assert_eq!(
            parse(merchant, "1900000100", Some("账房科技"), "SERVICE_PROVIDER"),
            Ok(())
        );
        assert_eq!(parse(person, "oUser-1_x", None, "STAFF"), Ok(()));
        assert_eq!(
            parse(merchant, "19x", Some("账房"), "STORE"),
            Err("account")
        );
        assert_eq!(parse(merchant, "19", None, "STORE"), Err("name"));
        assert_eq!(parse(merchant, "19", Some(" "), "STORE"), Err("name"));
        assert_eq!(parse(person, "o'; --", None, "STAFF"), Err("account"));
        assert_eq!(parse(person, "oUser", None, "FRIEND"), Err("relation"));
    }

    #[test]
    fn names_and_openids_are_masked() {
        assert_eq!(mask_name("张三丰"), "张**");
        assert_eq!(mask_name("演示科技有限公司上海"), "演*****");
        let openid = Secret::new("oUser-1234567".to_owned());
        assert_eq!(mask_account(ReceiverKind::Person, &openid), "****4567");
        let form = ReceiverForm::parse(
            ReceiverKind::Person,
            "oUser-1234567".to_owned(),
            Some("张三丰".to_owned()),
            "STAFF".to_owned(),
        );
        let shown = format!("{form:?}");
        assert!(!shown.contains("oUser") && !shown.contains('张'), "{shown}");
    }
}
