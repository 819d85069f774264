//! A WeChat Pay of one's own.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context as _;
use url::Url;

use crate::{
    config::{LogSettings, Source},
    telemetry,
};
use wechat_pay_simulator::{BillSettings, Simulator, SimulatorSettings};

const ABOUT: &str = "\
Be a WeChat Pay that misbehaves on request, for trying out and testing.

WeChat Pay has no sandbox. This speaks its API v3 in partner and direct mode, from prepay and
native codes to refunds, profit sharing and bills, and the mini-program's server API, with real keys
and signatures; it makes them in --dir at the first start and writes wechat.env there, which holds
every ZHANGFANG_WECHAT__ variable for the service. It needs no database, and other programs and SDKs
can be tried against it as well: docs/simulator.md tells how, and all that it answers and spoils.

  /phone              be a customer of the service, with --service
  /sim/pay, /sim/scan pay an order by its number, or a code that a shop shows
  /sim/faults         what goes wrong from now on; /sim/calls: with one call
  /sim/refunds        see refunds, plan and decide how they end
  /sim/stats          counts: forgeries_acknowledged should be 0

Keep it on this machine: it asks nobody who they are. All but the keys is gone when it ends.";

const EXAMPLES: &str = "\
Examples:
  zhangfang simulate-wechat --dir wechat --bills-at-once --resend-compression 60
  zhangfang simulate-wechat --listen 127.0.0.1:9200 --dir .dev/wechat \\
      --service http://127.0.0.1:8080 --notify-base http://127.0.0.1:8080

When its time runs faster (--resend-compression N), let the service's jobs keep up:
ZHANGFANG_JOBS__PACE=N for `zhangfang serve`.";

/// Be a WeChat Pay that misbehaves on request, for trying out and testing.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT, after_long_help = EXAMPLES)]
pub(super) struct SimulateWechat {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:9200")]
    listen: SocketAddr,
    /// Where keys and wechat.env are kept; without it they are made anew in memory.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The service that the phone page drives.
    #[arg(long, value_name = "URL")]
    service: Option<Url>,
    /// The service's address for callbacks, written into wechat.env.
    #[arg(long, value_name = "URL")]
    notify_base: Option<Url>,
    /// Divides every delay of callbacks and refunds: WeChat's 15 s become 0.25 s with 60.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    resend_compression: u32,
    /// Have bills ready at once, today's too, instead of at ten the next morning.
    #[arg(long)]
    bills_at_once: bool,
}

impl SimulateWechat {
    pub(super) async fn run(self, source: &Source) -> anyhow::Result<()> {
        telemetry::start_logs(&LogSettings::load(source)?)?;
        let stopping = super::serve::stop_on_signals()?;
        let simulator = Simulator::start(SimulatorSettings {
            listen: self.listen,
            dir: self.dir,
            service_url: self.service,
            notify_base: self.notify_base,
            resend_compression: self.resend_compression,
            bills: BillSettings {
                ready_at_once: self.bills_at_once,
                ..BillSettings::default()
            },
            ..SimulatorSettings::default()
        })
        .await
        .context("the simulated WeChat did not start")?;
        stopping.cancelled().await;
        drop(simulator);
        Ok(())
    }
}
