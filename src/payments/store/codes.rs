//! Collection codes as payments see them.

use std::fmt;

use sqlx::{Row as _, mysql::MySqlRow};

use crate::{
    db::{LoadRows, RowSet, Sql},
    primitives::{MerchantId, Money, TenantId},
};

/// A collection code as a key: what was scanned, cut or filled to twelve characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CodeKey([u8; 12]);

impl CodeKey {
    /// Anything that is not a code becomes one that does not exist.
    pub(crate) fn of(text: &str) -> Self {
        let valid = text
            .bytes()
            .all(|letter| letter.is_ascii_digit() || letter.is_ascii_uppercase());
        text.as_bytes()
            .try_into()
            .ok()
            .filter(|_| valid)
            .map_or(Self(*b"------------"), Self)
    }
}

impl fmt::Display for CodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|letter| write!(f, "{}", char::from(*letter)))
    }
}

impl fmt::Debug for CodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `qr_codes` with the merchant behind it. Only read here.
#[derive(Debug)]
pub(crate) struct Codes;

#[derive(Debug, Clone)]
pub(crate) struct CodeRow {
    pub(crate) tenant: TenantId,
    pub(crate) merchant: MerchantId,
    pub(crate) merchant_name: String,
    pub(crate) amount: Option<Money>,
    pub(crate) active: bool,
    /// Present when the merchant is approved.
    pub(crate) sub_mchid: Option<String>,
    /// Others get a share of what the merchant collects.
    pub(crate) sharing: bool,
}

impl RowSet for Codes {
    type Key = CodeKey;
    type Row = CodeRow;
    const LOCK_ORDER: u8 = 31;
}

impl LoadRows for Codes {
    fn load(keys: &[CodeKey], sql: &mut Sql) {
        sql.push(
            "SELECT /* payments.load_codes */ q.code, q.tenant_id, q.merchant_id, m.name, q.amount_fen, q.state = 'active', \
             CASE m.state WHEN 'approved' THEN m.sub_mchid END, m.sharing FROM qr_codes q JOIN merchants m ON m.id = q.merchant_id WHERE q.code IN (",
        );
        let codes = keys.iter().map(CodeKey::to_string);
        sql.values(codes).push(")");
    }

    fn read(row: &MySqlRow) -> Result<(CodeKey, CodeRow), sqlx::Error> {
        let code: String = row.try_get(0)?;
        let amount: Option<i64> = row.try_get(4)?;
        let code_row = CodeRow {
            tenant: TenantId(row.try_get(1)?),
            merchant: row.try_get(2)?,
            merchant_name: row.try_get(3)?,
            amount: amount
                .map(Money::parse)
                .transpose()
                .map_err(|_| sqlx::Error::Decode("qr_codes.amount_fen".into()))?,
            active: row.try_get::<i64, _>(5)? != 0,
            sub_mchid: row.try_get(6)?,
            sharing: row.try_get::<i8, _>(7)? != 0,
        };
        Ok((CodeKey::of(&code), code_row))
    }
}
