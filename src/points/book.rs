//! The rules in force, kept in memory.

use super::{Rule, store};
use crate::{
    db::{Book, Db, DbError, Standing},
    primitives::TenantId,
};

/// The rule in force per tenant.
pub type RuleBook = Book<Rule>;

impl Standing for Rule {
    async fn find(db: &Db, tenant: TenantId) -> Result<Self, DbError> {
        let rule = store::find_current(db, tenant).await?;
        rule.ok_or(DbError::Inconsistent("a tenant without a points rule"))
    }
}
