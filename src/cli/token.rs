//! A token for a person at the command line.

use anyhow::{Context as _, bail};
use clap::{ValueEnum, builder::RangedI64ValueParser};

use crate::{
    app,
    auth::OperatorRole,
    config::{Source, TokenOnly},
    primitives::{Clock as _, SystemClock},
    telemetry, tenants,
};

const ABOUT: &str = "\
Print an operator's token.

It is signed with the configured secret and good for as long as it says: it cannot be revoked, \
so ask for minutes, not days. Nothing but the token goes to stdout.

Give people names: a refund above the limit needs a second person, and two tokens without a name are \
one person.";

const EXAMPLES: &str = "\
Examples:
  zhangfang token --tenant tea --role admin --name lin --minutes 60
  curl -H \"Authorization: Bearer $(zhangfang token --tenant tea --role auditor --minutes 5)\" ..";

/// Print an operator's token.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT, after_long_help = EXAMPLES)]
pub(super) struct Token {
    /// The tenant's code.
    #[arg(long)]
    tenant: String,
    /// What its bearer may do.
    #[arg(long)]
    role: Role,
    /// Whose it is, as actions are recorded: a-z, 0-9, `.`, `_` and `-`; the role unless said.
    #[arg(long, value_parser = person)]
    name: Option<String>,
    /// How long it is good, at most a day.
    #[arg(long, value_parser = RangedI64ValueParser::<i64>::new().range(1..=1_440))]
    minutes: i64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    /// Everything an operator can do.
    Admin,
    /// See everything, change nothing.
    Auditor,
    /// A back end that awards, deducts, redeems and holds points.
    Service,
}

impl From<Role> for OperatorRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Admin => Self::Admin,
            Role::Auditor => Self::Auditor,
            Role::Service => Self::Service,
        }
    }
}

fn person(text: &str) -> Result<String, String> {
    let plain = |letter: u8| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || b"._-".contains(&letter)
    };
    if (1..=32).contains(&text.len()) && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("1 to 32 of a-z, 0-9, '.', '_' and '-'".to_owned())
    }
}

impl Token {
    pub(super) async fn run(self, source: &Source) -> anyhow::Result<()> {
        let settings = TokenOnly::load(source)?;
        telemetry::start_logs(&settings.log)?;
        let db = super::open_database(&settings.database).await?;
        let found = tenants::find_by_code(&db, &self.tenant).await;
        db.close().await;
        let Some(tenant) = found.context("the tenants cannot be read")? else {
            bail!(
                "there is no tenant {}; `zhangfang tenant list` shows them",
                self.tenant
            );
        };
        let tokens = app::tokens(&settings.auth);
        let now = SystemClock.now();
        let role = OperatorRole::from(self.role);
        let name = self.name.as_deref().unwrap_or(role.name());
        let token = tokens.issue_named_operator(tenant.id, name, role, self.minutes, now);
        super::print(&token.text);
        Ok(())
    }
}
