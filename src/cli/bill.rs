//! Fetching one of WeChat's bills.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};

use super::print;
use crate::{
    app::db_options,
    config::{Settings, Source},
    db::Db,
    payments::{Bill, BillContent, BillKind, BillLines, ChannelOutcome, RefusalKind, TradeState},
    primitives::{BusinessDay, RandomIds, SystemClock},
    telemetry, tenants,
    wechat::WechatAccounts,
};

const ABOUT: &str = "\
Fetch one of WeChat's bills.

WeChat makes a day's bills the next morning; they can be fetched from 10:00 Beijing time on, for \
three months. The file is checked against the hash that WeChat signed, then read line by line: \
what cannot be read is an error that names line and column, and the sums of the last line are \
compared with the lines. Without --out a summary is printed; with it the file is kept as it came. A \
file that cannot be read is kept in any case: it may not be had again.";

const EXAMPLES: &str = "\
Examples:
  zhangfang bill 2026-11-20                        # payments and refunds of every merchant
  zhangfang bill 2026-11-20 --out trade.csv
  zhangfang bill 2026-11-20 --kind fund-flow       # what moved on our own account
  zhangfang bill 2026-11-20 --tenant tea           # of a tenant with a merchant account of its own";

/// Fetch one of WeChat's bills.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT, after_long_help = EXAMPLES)]
pub(super) struct FetchBill {
    /// The business day, such as 2026-11-20.
    #[arg(value_parser = day)]
    day: BusinessDay,
    /// Which of the day's bills.
    #[arg(long, value_enum, default_value = "trade")]
    kind: Kind,
    /// Whose merchant account; the shared one unless said.
    #[arg(long, value_name = "CODE")]
    tenant: Option<String>,
    /// Keep the file here, byte for byte.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Trade,
    FundFlow,
}

fn day(text: &str) -> Result<BusinessDay, String> {
    BusinessDay::parse(text).ok_or_else(|| "not a day such as 2026-11-20".to_owned())
}

impl FetchBill {
    pub(super) async fn run(self, source: &Source) -> anyhow::Result<()> {
        let settings = Settings::load(source)?;
        telemetry::start_logs(&settings.log)?;
        let accounts =
            WechatAccounts::new(&settings.wechat, Arc::new(SystemClock), Arc::new(RandomIds))?;
        let tenant = match &self.tenant {
            Some(code) => self.find_tenant(&settings, code, &accounts).await?,
            None => crate::primitives::TenantId(0),
        };
        accounts.refresh().await;
        let kind = match self.kind {
            Kind::Trade => BillKind::Trade,
            Kind::FundFlow => BillKind::FundFlow,
        };
        let channel = crate::payments::PaymentChannels::of(&accounts, tenant);
        let bill = match channel.bill(kind, self.day).await {
            ChannelOutcome::Done(Some(bill)) => bill,
            ChannelOutcome::Done(None) => {
                print(&format!(
                    "nothing happened on {}: WeChat has no bill",
                    self.day
                ));
                return Ok(());
            }
            ChannelOutcome::Refused(no) if no.kind == RefusalKind::RateLimited => {
                bail!(
                    "the bill of {} is not ready yet ({}): try again after 10:00 Beijing time",
                    self.day,
                    no.code
                )
            }
            ChannelOutcome::Refused(no) => {
                bail!("WeChat refuses the bill: {} {}", no.code, no.message)
            }
            ChannelOutcome::Unknown(reason) => bail!("the bill was not fetched: {reason}"),
        };
        // Before anything that can go wrong with it.
        let doubtful = match &bill.content {
            Ok(content) => !content.disagreements.is_empty(),
            Err(_) => true,
        };
        let file = self.out.clone().or_else(|| doubtful.then(|| self.file()));
        if let Some(file) = &file {
            std::fs::write(file, &bill.file)
                .with_context(|| format!("{} cannot be written", file.display()))?;
        }
        let kept = || {
            let file = file.as_deref().map(Path::display);
            file.map_or_else(String::new, |file| format!(" (the file is kept: {file})"))
        };
        let content = match &bill.content {
            Ok(content) => content,
            Err(error) => bail!("{error}{}", kept()),
        };
        print(&summary(&bill, content));
        if let [first, rest @ ..] = content.disagreements.as_slice() {
            let more = rest.iter().map(|other| format!("; {other}"));
            bail!(
                "the bill's own sums are not those of its lines: {first}{}{}",
                more.collect::<String>(),
                kept()
            );
        }
        Ok(())
    }

    /// Where a file goes that nobody gave a place.
    fn file(&self) -> PathBuf {
        let kind = match self.kind {
            Kind::Trade => "trade",
            Kind::FundFlow => "fund-flow",
        };
        PathBuf::from(format!("bill-{}-{kind}.csv", self.day))
    }

    async fn find_tenant(
        &self,
        settings: &Settings,
        code: &str,
        accounts: &WechatAccounts,
    ) -> anyhow::Result<crate::primitives::TenantId> {
        let options = crate::db::DbOptions {
            committers: 0,
            ..db_options(&settings.database)
        };
        let db = Db::connect(options, Arc::new(SystemClock), Arc::new(RandomIds))
            .await
            .context("the database cannot be used")?;
        let tenant = tenants::find_by_code(&db, code).await;
        db.close().await;
        let tenant = tenant?.with_context(|| format!("there is no tenant {code}"))?;
        accounts.assign(&[(tenant.id, tenant.code)]);
        Ok(tenant.id)
    }
}

/// The lines counted, and WeChat's own sums.
fn summary(bill: &Bill, content: &BillContent) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    match &content.lines {
        BillLines::Trade(lines) => {
            let count =
                |state: &TradeState| lines.iter().filter(|line| line.state == *state).count();
            table.add_row([
                "payments".to_owned(),
                count(&TradeState::Success).to_string(),
            ]);
            table.add_row(["refunds".to_owned(), count(&TradeState::Refund).to_string()]);
        }
        BillLines::FundFlow(lines) => {
            table.add_row(["movements".to_owned(), lines.len().to_string()]);
        }
    }
    for (name, value) in &content.summary.0 {
        table.add_row([name, value]);
    }
    format!("{} bytes, SHA-1 {}\n{table}", bill.file.len(), bill.sha1)
}
