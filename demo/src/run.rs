//! The demo from its first to its last word.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    Demo, afterwards,
    books::{self, Closing, Opening},
    check::Check,
    checks::checks,
    day::{self, Day},
    day_record::DayRecord,
    desk::Policies,
    patience::ApiError,
    plan::{Behaviour, Intent, Size, customer_name, plan},
    refund, scenes,
    service::{self, LoginAs, Person, Service},
    summary::{Summary, moved_by_merchant},
    tables,
    tenant::{self, Tenant},
    wechat::{FaultLevel, Wechat},
    world::World,
};
use zhangfang::{
    cli::{print, stop_on_signals, verify_ledger},
    config::{Settings, Source, TokenOnly},
    primitives::{Clock as _, SystemClock},
    telemetry,
};

const OF_POLICY: &str = "the payment policy";

impl Demo {
    /// Runs the demo to its end, or prepares what it stands on.
    pub async fn run(self) -> anyhow::Result<()> {
        let source = Source::environment(self.config.clone());
        let Ground {
            settings,
            service,
            simulator,
        } = self.ground(&source)?;
        telemetry::start_logs(&settings.log)?;
        if Wechat::is_real(&simulator) {
            bail!("{simulator} is WeChat itself; a demo pays at `wechat-pay-simulator` only");
        }
        let stopping = stop_on_signals()?;
        let ending = stopping.child_token();
        let (service, wechat) = greet(service, simulator, &ending).await?;

        let operators = tenant::operators(&settings).await?;
        let run = format!("demo-{:x}", SystemClock.now().micros());
        let tenant = tenant::prepare(&service, &operators.admin, self.merchants, &run).await;
        let tenant = tenant.context("the demo's tenant could not be made")?;
        tenant
            .show_on_phone(&wechat)
            .await
            .context("the phone page does not show the merchants")?;
        if self.prepare {
            self.print_offers(&tenant, &wechat);
            return Ok(());
        }

        end_after(Duration::from_secs(self.time_limit), ending.clone());
        let customers = customers(self.customers);
        let world = World {
            service: &service,
            wechat: &wechat,
            customers: &customers,
            tenant: &tenant,
            operators: &operators,
            run: &run,
            troubled: self.faults != FaultLevel::None,
            ending: &ending,
        };
        let mut summary = self.day(world).await?;
        if summary.complete {
            let (reports, checks) = scenes::play(world).await;
            summary.scenes = reports;
            summary.checks.extend(checks);
        }
        let mut ledger = None;
        if summary.complete && !self.no_verify {
            let read = verify_ledger::read(settings.database.connect.expose(), true).await;
            let (holds, detail) = match &read {
                Ok(report) => (report.is_clean(), "see below".to_owned()),
                Err(error) => (false, format!("{error:#}")),
            };
            let what = "the ledger keeps its invariants (verify-ledger)";
            summary.checks.push(Check::new(what, holds, detail));
            ledger = read.ok();
        }
        if self.json {
            summary.ledger = ledger.as_ref().map(verify_ledger::as_json);
            print(&json!(summary).to_string());
        } else {
            print(&tables::summary(&summary));
            if let Some(report) = &ledger {
                print(&format!("\n{}", verify_ledger::as_text(report)));
            }
        }
        self.verdict(&summary, &stopping)
    }

    /// Where everything is. Without both addresses all settings of the service are needed to know
    /// them.
    fn ground(&self, source: &Source) -> anyhow::Result<Ground> {
        if let (Some(service), Some(simulator)) = (&self.service, &self.simulator) {
            return Ok(Ground {
                settings: TokenOnly::load(source)?,
                service: service.clone(),
                simulator: simulator.clone(),
            });
        }
        let all = Settings::load(source)?;
        Ok(Ground {
            service: self.service.clone().unwrap_or(all.http.public_url),
            simulator: self.simulator.clone().unwrap_or(all.wechat.pay_url),
            settings: TokenOnly {
                log: all.log,
                database: all.database,
                auth: all.auth,
            },
        })
    }

    fn print_offers(&self, tenant: &Tenant, wechat: &Wechat) {
        let offers = tenant.offers(wechat);
        if self.json {
            let left_out = &tenant.left_out;
            let object =
                json!({ "tenant": service::TENANT, "codes": offers, "left_out": left_out });
            print(&object.to_string());
            return;
        }
        print(&tables::offers(&offers));
        for name in &tenant.left_out {
            print(&format!("{name} is suspended and left out"));
        }
    }

    /// From the first login to the last look at the books.
    async fn day(&self, world: World<'_>) -> anyhow::Result<Summary> {
        let logins = day::log_in(world, self.concurrency).await;
        let logins = logins.context("not every customer could log in")?;
        // What another demo left to be reviewed would be credited in the middle of this one.
        let admin = &world.operators.admin;
        let left = world.service.approve_reviews(admin, world.run).await;
        left.context("the reviews cannot be gone through")?;
        let today = SystemClock.now().business_day();
        let opening = books::open(world, today, self.concurrency).await;
        let opening = opening.context("the books cannot be read")?;
        let size = Size {
            seed: self.seed,
            payments: self.payments,
            customers: self.customers,
        };
        let intents = plan(size, &world.tenant.counters);
        let planned = intents.len();
        let day = self.misbehave(world, intents).await?;
        let closing = self.close(world, &opening, &day).await;
        let record = DayRecord {
            seed: self.seed,
            planned,
            tenant: world.tenant,
            day: &day,
            logins: &logins,
            opening: &opening,
            closing: closing.as_ref(),
            repeated: world.service.repeated(),
            crossed_midnight: SystemClock.now().business_day() != today,
        };
        let mut summary = Summary::of(&record);
        if summary.complete {
            summary.checks = checks(&summary, &record);
        }
        Ok(summary)
    }

    /// Switches the faults on for the day, and back to what they were; the same with the policy.
    async fn misbehave(&self, world: World<'_>, intents: Vec<Intent>) -> anyhow::Result<Day> {
        let of_simulator = "the simulator's switches";
        let switches = world.wechat.own_faults().await.context(of_simulator)?;
        let policies = Policies::remember(world).await.context(OF_POLICY)?;
        world
            .wechat
            .switch_on(self.faults)
            .await
            .context(of_simulator)?;
        let day = self.pay(world, intents).await;
        world
            .wechat
            .put_faults(&switches)
            .await
            .context(of_simulator)?;
        policies.put_back(world).await.context(OF_POLICY)?;
        day
    }

    /// Everybody pays; then the refunds and the service's own jobs get the time that they need.
    async fn pay(&self, world: World<'_>, intents: Vec<Intent>) -> anyhow::Result<Day> {
        // First of all, so that the minute of those who forget passes while the others pay. An
        // order keeps the time that it was made with.
        let (forgotten, others) = intents
            .into_iter()
            .partition::<Vec<_>, _>(|intent| intent.behaviour == Behaviour::Forget);
        Policies::put(world, 1).await.context(OF_POLICY)?;
        let morning = day::pay(world, forgotten, self.concurrency).await;
        Policies::put(world, 30).await.context(OF_POLICY)?;
        let mut day = day::pay(world, others, self.concurrency).await;
        day.visits.extend(morning.visits);
        refund::follow_all(world, &mut day.visits, self.concurrency).await;
        afterwards::wait(world, &mut day.visits, self.concurrency).await;
        // Where risk holds points of the day, because the counters could not be had in time or the
        // same people came again and again.
        let admin = &world.operators.admin;
        match world.service.approve_reviews(admin, world.run).await {
            Ok(0) => {}
            Ok(approved) => tracing::info!(approved, "points of the day waited for a review"),
            Err(error) => tracing::warn!(reason = %error, "the reviews could not be gone through"),
        }
        day.complete &= morning.complete && !world.ending.is_cancelled();
        Ok(day)
    }

    /// Waits until everything has arrived and reads the books. Ended early, it does not wait, and
    /// does without what it cannot read.
    async fn close(&self, world: World<'_>, opening: &Opening, day: &Day) -> Option<Closing> {
        let closing = async {
            if day.complete {
                wait(world, opening, day).await?;
            }
            books::close(world, opening, &day.visits, self.concurrency).await
        };
        let most = Duration::from_secs(if day.complete { 300 } else { 10 });
        match tokio::time::timeout(most, closing).await {
            Ok(Ok(closing)) => Some(closing),
            Ok(Err(error)) => {
                tracing::warn!(reason = %error, "the books cannot be read at the end");
                None
            }
            Err(_) => {
                tracing::warn!("the books could not be read within {most:?}");
                None
            }
        }
    }

    fn verdict(&self, summary: &Summary, stopping: &CancellationToken) -> anyhow::Result<()> {
        if summary.agrees() {
            return Ok(());
        }
        if stopping.is_cancelled() && !summary.complete {
            bail!("ended early by a signal: nothing is proven");
        }
        if !summary.complete {
            bail!(
                "the time limit of {} s was reached: nothing is proven",
                self.time_limit
            );
        }
        let wrong = summary.checks.iter().filter(|check| !check.agrees);
        let wrong: Vec<_> = wrong.map(|check| format!("`{}`", check.what)).collect();
        bail!("this should be so and is not: {}", wrong.join(", "))
    }
}

/// What a demo stands on.
struct Ground {
    settings: TokenOnly,
    service: Url,
    simulator: Url,
}

/// The two other sides, if they are there.
async fn greet(
    service_at: Url,
    simulator_at: Url,
    ending: &CancellationToken,
) -> anyhow::Result<(Service, Wechat)> {
    let wechat = Wechat::new(simulator_at.clone(), ending.clone())?;
    let there = wechat.greet().await;
    there.with_context(|| format!("there is no WeChat simulator at {simulator_at}"))?;
    let service = Service::new(service_at.clone(), ending.clone())?;
    let there = service.greet().await;
    there.with_context(|| format!("the service is not at {service_at}"))?;
    Ok((service, wechat))
}

fn customers(count: usize) -> Vec<Person> {
    let customer = |index| Person::new(format!("sim-{}", customer_name(index)), LoginAs::Customer);
    (0..count).map(customer).collect()
}

fn end_after(limit: Duration, ending: CancellationToken) {
    tokio::spawn(async move {
        tokio::time::sleep(limit).await;
        ending.cancel();
    });
}

async fn wait(world: World<'_>, opening: &Opening, day: &Day) -> Result<(), ApiError> {
    let fates = day.visits.iter().filter_map(|visit| visit.fate.as_ref());
    let fates: Vec<_> = fates.collect();
    let (wechat, before) = (world.wechat, opening.wechat);
    books::wait_for_callbacks(wechat, before, &fates, world.ending).await?;
    let expected = moved_by_merchant(day, world.tenant.merchants.len());
    books::wait_for_relay(world, opening, &expected).await
}
