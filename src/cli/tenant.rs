//! Tenants: making one, listing them.

use anyhow::Context as _;
use clap::Subcommand;
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};

use crate::{
    config::{DatabaseOnly, Source},
    points, telemetry, tenants,
};

const ABOUT: &str = "\
Make and list tenants.

A tenant owns merchants, customers and rules of its own. Its code stands in the apps' \
requests and cannot be changed.";

const EXAMPLES: &str = "\
Examples:
  zhangfang tenant create tea --name 'Tea Street'
  zhangfang tenant list";

/// Make and list tenants.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT, after_long_help = EXAMPLES)]
pub(super) struct Tenant {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a tenant and its first points rule: one point per yuan, good for a year.
    Create {
        /// 2 to 32 of a-z, 0-9 and `-`.
        code: String,
        /// What people call it.
        #[arg(long)]
        name: String,
    },
    /// Print every tenant.
    List,
}

impl Tenant {
    pub(super) async fn run(self, source: &Source) -> anyhow::Result<()> {
        let settings = DatabaseOnly::load(source)?;
        telemetry::start_logs(&settings.log)?;
        let db = super::open_database(&settings.database).await?;
        let text = match self.command {
            Command::Create { code, name } => {
                let made = points::create_tenant(&db, &code, &name)
                    .await
                    .with_context(|| format!("the tenant {code} was not made"));
                made.map(|tenant| format!("tenant {} has number {}", tenant.code, tenant.id.0))
            }
            Command::List => {
                let all = tenants::list(&db)
                    .await
                    .context("the tenants cannot be read");
                all.map(|all| table(&all).to_string())
            }
        };
        db.close().await;
        super::print(&text?);
        Ok(())
    }
}

fn table(tenants: &[tenants::Tenant]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_BORDERS_ONLY)
        .set_header(["number", "code", "name"]);
    for tenant in tenants {
        table.add_row([&tenant.id.0.to_string(), &tenant.code, &tenant.name]);
    }
    table
}
