//! Reads lines, newest first.

use std::{fmt, str::FromStr};

use super::store;
use crate::{
    db::{Db, DbError},
    primitives::{Id, PageLimit, ParseIdError, TenantId, Timestamp},
};

/// A line's id; in time order, and therefore the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditLogId(Id);

impl AuditLogId {
    pub const fn new(id: Id) -> Self {
        Self(id)
    }

    pub const fn bytes(&self) -> &[u8; 16] {
        self.0.bytes()
    }
}

impl fmt::Display for AuditLogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "au_{}", self.0)
    }
}

impl FromStr for AuditLogId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let mut bytes = [0; 16];
        let hex = text.strip_prefix("au_").ok_or(ParseIdError)?;
        hex::decode_to_slice(hex, &mut bytes).map_err(|_| ParseIdError)?;
        Ok(Self(Id::from_bytes(bytes)))
    }
}

/// A line as it was written. Actor and action are text here: old lines may carry names that this
/// program no longer writes.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditLog {
    pub id: AuditLogId,
    /// See [`Actor`](super::Actor).
    pub actor: String,
    /// See [`AuditAction::name`](super::AuditAction::name).
    pub action: String,
    pub subject: String,
    pub detail: serde_json::Value,
    pub at: Timestamp,
}

/// Up to `limit.probe()` lines of a tenant before `before`.
pub async fn list_logs(
    db: &Db,
    tenant: TenantId,
    before: Option<AuditLogId>,
    limit: PageLimit,
) -> Result<Vec<AuditLog>, DbError> {
    store::list_logs(db, tenant, before, limit).await
}
