//! Making a tenant.

use super::{Tenant, store};
use crate::{
    db::{DbError, Tx, Work},
    points::{self, RuleTerms},
    primitives::{Length, Text},
};

/// A tenant that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    #[error("a tenant's code is 2 to 32 of a-z, 0-9 and -")]
    BadCode,
    #[error("a tenant's name is 1 to 100 characters in one line that show as what they are")]
    BadName,
    #[error("there is a tenant with this code")]
    CodeTaken,
    #[error("database failure")]
    Db(#[from] DbError),
}

/// Makes a tenant and the first version of its points rule.
#[derive(Debug)]
pub struct CreateTenant {
    pub code: String,
    pub name: String,
}

impl Work for CreateTenant {
    const NAME: &'static str = "tenants.create";
    type Reply = Tenant;
    type Error = TenantError;

    async fn run(&self, tx: &mut Tx) -> Result<Tenant, TenantError> {
        let plain =
            |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
        if !(2..=32).contains(&self.code.len()) || !self.code.bytes().all(plain) {
            return Err(TenantError::BadCode);
        }
        let name = Text::parse(&self.name, Length::Characters(1, 100))
            .map_err(|_| TenantError::BadName)?;
        let id = store::insert(tx, &self.code, name.as_str())
            .await
            .map_err(|error| {
                if error.unique_key().is_some() {
                    TenantError::CodeTaken
                } else {
                    TenantError::Db(error)
                }
            })?;
        points::insert_first_rule(tx, id, &RuleTerms::default(), "system").await?;
        Ok(Tenant {
            id,
            code: self.code.clone(),
            name: name.into_string(),
        })
    }
}
