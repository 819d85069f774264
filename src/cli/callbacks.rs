//! WeChat's callbacks as they are kept: looking at them, and playing them again.

use anyhow::{Context as _, bail};
use clap::{Subcommand, builder::RangedU64ValueParser};
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use serde_json::{Value, json};

use super::verify_ledger::fit;
use crate::{
    app::App,
    audit::Actor,
    config::{DatabaseOnly, Settings, Source},
    db::Db,
    payments::{self, CallbackOutcome, HandledCallback, ReplayError, StoredCallback},
    primitives::{Id, PageLimit, TenantId},
    telemetry, tenants,
};

const ABOUT: &str = "\
Look at WeChat's callbacks as they were received, and play them again.

Every callback is kept with what became of it:

  settled        a payment was settled by it        refund        a refund moved
  duplicate      it changed nothing                 ignored       not of a kind that is handled
  rejected       authentic but mismatched: see the alarms
  failed         it could not be taken, through no fault of its own
  unverified     its signature did not hold; kept with its headers

Playing one again does what it says, as if it came now. It can do no harm: one that was taken \
changes nothing. It is for what failed, once the cause is gone, and for what was unverified \
because a key was missing: that is verified anew, with the keys of today and the time at which it \
came. Each is written into the audit log.";

const EXAMPLES: &str = "\
Examples:
  zhangfang callbacks list --tenant tea
  zhangfang callbacks list --tenant tea --outcome failed --limit 100
  zhangfang callbacks show --tenant tea 019a8b3e5c5f7a0e8b6f1d2c3e4f2a00
  zhangfang callbacks replay --tenant tea 019a8b3e5c5f7a0e8b6f1d2c3e4f2a00
  zhangfang callbacks replay --tenant tea --outcome failed --all

Looking needs DATABASE_URL; playing needs all settings of `zhangfang serve`.
Exit codes: 0 done, 1 something was not played, 2 wrong settings.";

/// Look at WeChat's callbacks as they were received, and play them again.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT, after_long_help = EXAMPLES)]
pub(super) struct Callbacks {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print callbacks, newest first.
    List {
        /// The tenant's code.
        #[arg(long)]
        tenant: String,
        /// Only those of which this became.
        #[arg(long, value_parser = outcome)]
        outcome: Option<CallbackOutcome>,
        /// How many at most.
        #[arg(long, default_value_t = 20, value_parser = RangedU64ValueParser::<u32>::new().range(1..=100))]
        limit: u32,
        /// Print one JSON array instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Print one callback with its body as received.
    Show {
        /// The tenant's code.
        #[arg(long)]
        tenant: String,
        /// 32 hex digits, as `list` shows them.
        #[arg(value_parser = id)]
        id: Id,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Play callbacks again and say what each did.
    Replay(Replay),
}

#[derive(Debug, clap::Args)]
struct Replay {
    /// The tenant's code.
    #[arg(long)]
    tenant: String,
    /// Those to play, as `list` shows them.
    #[arg(required_unless_present = "all", conflicts_with = "all", value_parser = id)]
    ids: Vec<Id>,
    /// Play every one of which this became: `failed` or `unverified`; with --all.
    #[arg(long, value_parser = replayable, requires = "all")]
    outcome: Option<CallbackOutcome>,
    /// All with --outcome, oldest first.
    #[arg(long, requires = "outcome")]
    all: bool,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

fn id(text: &str) -> Result<Id, String> {
    text.parse()
        .map_err(|_| "32 hex digits, as `list` shows them".to_owned())
}

fn outcome(text: &str) -> Result<CallbackOutcome, String> {
    CallbackOutcome::from_name(text).ok_or_else(|| {
        let names: Vec<_> = CallbackOutcome::ALL.map(CallbackOutcome::name).into();
        format!("one of {}", names.join(", "))
    })
}

/// Those that were taken need no playing.
fn replayable(text: &str) -> Result<CallbackOutcome, String> {
    outcome(text)
        .ok()
        .filter(|outcome| {
            matches!(
                outcome,
                CallbackOutcome::Failed | CallbackOutcome::Unverified
            )
        })
        .ok_or_else(|| "failed or unverified".to_owned())
}

impl Callbacks {
    pub(super) async fn run(self, source: &Source) -> anyhow::Result<()> {
        match self.command {
            Command::List {
                tenant,
                outcome,
                limit,
                json,
            } => {
                let read = read(source, &tenant, async |db, tenant| {
                    let limit = PageLimit::parse(Some(limit)).context("1 to 100")?;
                    let mut found =
                        payments::list_callbacks(db, tenant, outcome, None, limit).await?;
                    found.truncate(usize::try_from(limit.get())?);
                    Ok(found)
                });
                let found = read.await?;
                super::print(&if json {
                    found.iter().map(as_json).collect::<Value>().to_string()
                } else {
                    as_table(&found).to_string()
                });
            }
            Command::Show { tenant, id, json } => {
                let read = read(source, &tenant, async |db, tenant| {
                    let found = payments::find_callback(db, tenant, id).await?;
                    found.with_context(|| format!("there is no callback {id}"))
                });
                let callback = read.await?;
                super::print(&if json {
                    let mut object = as_json(&callback);
                    object["body"] = String::from_utf8_lossy(&callback.body).into();
                    object.to_string()
                } else {
                    as_text(&callback)
                });
            }
            Command::Replay(replay) => replay.run(source).await?,
        }
        Ok(())
    }
}

/// Something from the database, as one tenant.
async fn read<T>(
    source: &Source,
    tenant: &str,
    find: impl AsyncFnOnce(&Db, TenantId) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let settings = DatabaseOnly::load(source)?;
    telemetry::start_logs(&settings.log)?;
    let db = super::open_database(&settings.database).await?;
    let found = match tenant_of(&db, tenant).await {
        Ok(tenant) => find(&db, tenant).await,
        Err(error) => Err(error),
    };
    db.close().await;
    found
}

async fn tenant_of(db: &Db, code: &str) -> anyhow::Result<TenantId> {
    let found = tenants::find_by_code(db, code).await;
    let Some(tenant) = found.context("the tenants cannot be read")? else {
        bail!("there is no tenant {code}; `zhangfang tenant list` shows them");
    };
    Ok(tenant.id)
}

impl Replay {
    async fn run(self, source: &Source) -> anyhow::Result<()> {
        let settings = Settings::load(source)?;
        telemetry::start_logs(&settings.log)?;
        let app = App::build(&settings).await?;
        let played = self.play(&app).await;
        app.db().close().await;
        let (played, unplayed) = played?;
        if unplayed > 0 {
            bail!(
                "{unplayed} of {} callbacks were not played",
                played + unplayed
            );
        }
        Ok(())
    }

    /// How many were played and how many were not. One that cannot be played does not keep the
    /// others from it.
    async fn play(&self, app: &App) -> anyhow::Result<(u32, u32)> {
        let tenant = tenant_of(app.db(), &self.tenant).await?;
        let ids = match self.outcome {
            Some(outcome) => every(app.db(), tenant, outcome).await?,
            None => self.ids.clone(),
        };
        if ids.is_empty() && !self.json {
            super::print("there is none to play");
        }
        let (mut played, mut unplayed) = (0_u32, 0_u32);
        for id in ids {
            let by = Actor::operator("command-line");
            let done = payments::replay_callback(app.payments(), tenant, id, by).await;
            super::print(&line(id, &done, self.json));
            match done {
                Ok(_) => played = played.saturating_add(1),
                Err(ReplayError::NotFound | ReplayError::Unverified(_)) => {
                    unplayed = unplayed.saturating_add(1);
                }
                Err(ReplayError::Db(error)) => {
                    return Err(error).context("stopped: the database fails");
                }
            }
        }
        Ok((played, unplayed))
    }
}

/// The ids of all, oldest first: what happened first is played first.
async fn every(db: &Db, tenant: TenantId, outcome: CallbackOutcome) -> anyhow::Result<Vec<Id>> {
    let page = PageLimit::parse(Some(PageLimit::MAX)).context("a whole page")?;
    let mut ids: Vec<Id> = Vec::new();
    loop {
        let before = ids.last().copied();
        let found = payments::list_callbacks(db, tenant, Some(outcome), before, page).await?;
        if found.is_empty() {
            ids.reverse();
            return Ok(ids);
        }
        ids.extend(found.iter().map(|callback| callback.id));
    }
}

/// What playing one did.
fn line(id: Id, done: &Result<HandledCallback, ReplayError>, json: bool) -> String {
    let (outcome, reason) = match done {
        Ok(HandledCallback::Rejected(reason)) => (CallbackOutcome::Rejected.name(), Some(*reason)),
        Ok(taken) => (taken.outcome().name(), None),
        Err(ReplayError::NotFound) => ("not_found", None),
        Err(ReplayError::Unverified(error)) => {
            (CallbackOutcome::Unverified.name(), Some(error.reason()))
        }
        Err(ReplayError::Db(_)) => ("unknown", Some("database")),
    };
    if json {
        return json!({ "id": id.to_string(), "outcome": outcome, "reason": reason }).to_string();
    }
    match reason {
        Some(reason) => format!("{id} {outcome}: {reason}"),
        None => format!("{id} {outcome}"),
    }
}

fn as_table(callbacks: &[StoredCallback]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_BORDERS_ONLY)
        .set_header(["id", "received", "outcome", "reason"]);
    for callback in callbacks {
        table.add_row([
            callback.id.to_string(),
            callback.received_at.to_string(),
            callback.outcome.name().to_owned(),
            callback.reason.clone().unwrap_or_default(),
        ]);
    }
    fit(&mut table);
    table
}

fn as_json(callback: &StoredCallback) -> Value {
    json!({
        "id": callback.id.to_string(),
        "received_at": callback.received_at,
        "outcome": callback.outcome.name(),
        "reason": callback.reason,
    })
}

fn as_text(callback: &StoredCallback) -> String {
    let reason = callback.reason.as_deref();
    format!(
        "callback {} received at {}: {}{}\n\n{}",
        callback.id,
        callback.received_at,
        callback.outcome.name(),
        reason.map_or_else(String::new, |reason| format!(" ({reason})")),
        String::from_utf8_lossy(&callback.body),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        payments::NoticeError,
        primitives::{Id, Lane},
    };

    #[test]
    fn each_outcome_has_its_line() {
        let id = Id::mint(1_795_000_000_000, 7, Lane(0));
        let of = |done| line(id, &done, false);
        assert_eq!(of(Ok(HandledCallback::Settled)), format!("{id} settled"));
        assert_eq!(
            of(Ok(HandledCallback::Rejected("wrong_amount"))),
            format!("{id} rejected: wrong_amount")
        );
        assert_eq!(
            of(Err(ReplayError::Unverified(NoticeError::UnknownKey))),
            format!("{id} unverified: unknown_key")
        );
        let json: Value =
            serde_json::from_str(&line(id, &Ok(HandledCallback::Refund), true)).unwrap();
        assert_eq!(json["outcome"], "refund");
        assert_eq!(json["reason"], Value::Null);
    }
}
