//! Bringing the tables up to date.

use anyhow::Context as _;

use crate::{
    config::{DatabaseOnly, Source},
    db, telemetry,
};

const ABOUT: &str = "\
Bring the tables up to date and give the service's account its rights.

Works as the account of DATABASE_MIGRATION_URL, the owner of the tables. When DATABASE_URL names \
another account, that one is given what the service needs on each table and no more: history \
(transfers, commits, states of orders and refunds, audit, versions of rules and policies) it may \
write once and never change, and hardly anything may it delete. The account must exist: it is found \
in mysql.user, from whatever host it may come, or by logging in as it. What an earlier version gave \
beyond that is taken away. Two runs at once wait for each other; running it again changes nothing.";

const EXAMPLES: &str = "\
Example:
  DATABASE_MIGRATION_URL=mysql://owner:..@db/zhangfang \\
  DATABASE_URL=mysql://service:..@db/zhangfang zhangfang migrate";

/// Bring the tables up to date and give the service's account its rights.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT, after_long_help = EXAMPLES)]
pub(super) struct Migrate {}

impl Migrate {
    pub(super) async fn run(self, source: &Source) -> anyhow::Result<()> {
        let settings = DatabaseOnly::load(source)?;
        telemetry::start_logs(&settings.log)?;
        let owner = settings.database.migrate.expose();
        let service = settings.database.connect.expose();

        db::migrate(owner)
            .await
            .context("the tables could not be brought up to date")?;
        tracing::info!("the tables are up to date");
        let user = service.get_username();
        if user != owner.get_username() {
            let accounts = db::grant(owner, service)
                .await
                .with_context(|| format!("the account {user} could not be given its rights"))?;
            tracing::info!("the account {} has its rights", accounts.join(" and "));
        }
        Ok(())
    }
}
