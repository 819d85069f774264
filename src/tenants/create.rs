//! Making a tenant's row.

use super::{Tenant, store};
use crate::{
    db::{DbError, Tx},
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

/// Inserts a tenant, with nothing that its slices need from the start: for
/// [`CreateTenant`](crate::points::CreateTenant), in whose transaction it stands.
pub(crate) async fn insert_tenant(
    tx: &mut Tx,
    code: &str,
    name: &str,
) -> Result<Tenant, TenantError> {
    let plain =
        |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
    if !(2..=32).contains(&code.len()) || !code.bytes().all(plain) {
        return Err(TenantError::BadCode);
    }
    let name = Text::parse(name, Length::Characters(1, 100)).map_err(|_| TenantError::BadName)?;
    let id = store::insert(tx, code, name.as_str())
        .await
        .map_err(|error| {
            if error.unique_key().is_some() {
                TenantError::CodeTaken
            } else {
                TenantError::Db(error)
            }
        })?;
    Ok(Tenant {
        id,
        code: code.to_owned(),
        name: name.into_string(),
    })
}
