//! Starting, holding and stopping a simulator.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use super::bills::{BillSettings, Bills};
use super::callback::{CallbackFactory, SignedCallback};
use super::chance::PerMille;
use super::clock::{Ids, WallClock};
use super::error::{PayError, SimulatorError};
use super::faults::Faults;
use super::key_switch::{KeyShares, KeySwitch};
use super::keys::{Addresses, Credentials, KeySet};
use super::lock::lock;
use super::login_codes::UsedCodes;
use super::merchants::{MerchantRules, Merchants};
use super::mini_program::state::MiniProgram;
use super::orders::{OrderName, Orders};
use super::payment::{Paid, Payment};
use super::phone::Phone;
use super::refunds::Refunds;
use super::resend::CallbackSender;
use super::router::router;
use super::sharing::ForcedReceiver;
use super::sharing::book::Book;
use super::state::Shared;
use super::stats::{Counters, Stats};

/// What the names in `wechat.env` begin with, unless the settings say otherwise.
pub const ENV_PREFIX: &str = "WECHAT_PAY__";

/// How a simulator is to run. `..SimulatorSettings::default()` suits tests.
#[derive(Debug, Clone)]
pub struct SimulatorSettings {
    /// Where to listen; port 0 takes any free one. Default `127.0.0.1:0`.
    pub listen: SocketAddr,
    /// Where keys and `wechat.env` are kept, made at the first start. `None`: in memory.
    pub dir: Option<PathBuf>,
    /// What the names in `wechat.env` begin with.
    pub env_prefix: String,
    /// Keys to use instead of those in `dir`; shared, it spares tests the making of new ones.
    pub keys: Option<Arc<KeySet>>,
    /// The service that the phone page drives.
    pub service_url: Option<Url>,
    /// The service's address for callbacks, written into `wechat.env`. The callbacks themselves go
    /// to each order's own `notify_url`.
    pub notify_base: Option<Url>,
    /// Divides every delay of callbacks and of refunds, and the minute between two refunds of one
    /// order; 1 is as WeChat.
    pub resend_compression: u32,
    /// What goes wrong from the start.
    pub faults: Faults,
    /// Same seed, same faults.
    pub seed: u64,
    /// WeChat's clock.
    pub clock: WallClock,
    /// Past this many orders, or refunds, the oldest are forgotten.
    pub orders_max: usize,
    /// When bills are ready, and how they are written.
    pub bills: BillSettings,
}

impl Default for SimulatorSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            dir: None,
            env_prefix: ENV_PREFIX.to_owned(),
            keys: None,
            service_url: None,
            notify_base: None,
            resend_compression: 1,
            faults: Faults::default(),
            seed: 0,
            clock: WallClock::system(),
            orders_max: 1_000_000,
            bills: BillSettings::default(),
        }
    }
}

/// A running simulator. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct Simulator {
    pub(super) shared: Arc<Shared>,
    base_url: Url,
    credentials: Credentials,
    server: JoinHandle<std::io::Result<()>>,
    _stop: DropGuard,
}

impl Simulator {
    /// Makes or reads the keys, takes the port, writes `wechat.env`, then serves.
    pub async fn start(settings: SimulatorSettings) -> Result<Self, SimulatorError> {
        let dir = settings.dir.clone();
        let keys = if let Some(keys) = settings.keys {
            keys
        } else {
            let open = move || match dir {
                Some(dir) => KeySet::open(&dir),
                None => KeySet::generate(),
            };
            Arc::new(tokio::task::spawn_blocking(open).await??)
        };
        let listen_error = |error| SimulatorError::Listen(settings.listen, error);
        let listener = TcpListener::bind(settings.listen)
            .await
            .map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let base_url = url_of(address)?;
        let credentials = keys.credentials(Addresses {
            pay_url: base_url.clone(),
            mini_program_url: base_url.clone(),
            notify_base: settings.notify_base,
        })?;
        // Whoever finds the file finds the port taken and waits in its queue.
        credentials.write_env_file(&settings.env_prefix)?;

        let stop = CancellationToken::new();
        let ids = Arc::new(Ids::new());
        let stats = Arc::new(Counters::default());
        let switching = Arc::new(KeySwitch::new(settings.seed));
        let factory = Arc::new(CallbackFactory::sharing(
            Arc::clone(&keys),
            Arc::clone(&switching),
            settings.clock.clone(),
            Arc::clone(&ids),
        ));
        let sender = Arc::new(CallbackSender::new(
            Arc::clone(&factory),
            Arc::clone(&stats),
            settings.resend_compression,
            stop.clone(),
        )?);
        let shared = Arc::new(Shared {
            keys,
            clock: settings.clock,
            orders: Mutex::new(Orders::new(settings.orders_max, ids.count())),
            refunds: Mutex::new(Refunds::new(settings.orders_max)),
            funds: Mutex::default(),
            refund_plans: Mutex::default(),
            refund_moves: Notify::new(),
            call_fates: Mutex::default(),
            limits: Mutex::default(),
            started: Instant::now(),
            mini_program: MiniProgram::default(),
            ids,
            factory,
            sender,
            stats,
            used_codes: UsedCodes::default(),
            phone: Phone::new(settings.service_url)?,
            seed: settings.seed,
            compression: settings.resend_compression.max(1),
            merchants: Merchants::default(),
            sharing: Mutex::new(Book::new(settings.orders_max)),
            bills: Bills::new(settings.bills),
            switching,
            switches: Mutex::new((settings.faults, StdRng::seed_from_u64(settings.seed))),
            stop: stop.clone(),
        });
        let app = router(Arc::clone(&shared));
        let serving = axum::serve(listener, app)
            .with_graceful_shutdown(stop.clone().cancelled_owned())
            .into_future();
        let server = tokio::spawn(serving);
        tracing::info!(url = %base_url, "simulated WeChat Pay on {base_url}");
        Ok(Self {
            shared,
            base_url,
            credentials,
            server,
            _stop: stop.drop_guard(),
        })
    }

    /// Where it listens: both `https://api.mch.weixin.qq.com` and `https://api.weixin.qq.com`.
    pub fn base_url(&self) -> &Url {
        &self.base_url
    }

    /// What a merchant system needs.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The user pays: the order becomes `SUCCESS`, and its callback is sent as the faults will.
    /// Returns without waiting for the callback; see [`Simulator::idle`].
    #[expect(
        clippy::unused_async,
        reason = "callers should not notice when paying comes to wait"
    )]
    pub async fn pay(&self, out_trade_no: &str, how: Payment) -> Result<Paid, PayError> {
        self.shared.pay(OrderName::OutTradeNo(out_trade_no), how)
    }

    /// The user pays, by prepay id as the client does. Returns without waiting for the callback.
    #[expect(
        clippy::unused_async,
        reason = "callers should not notice when paying comes to wait"
    )]
    pub async fn pay_prepay(&self, prepay_id: &str, how: Payment) -> Result<Paid, PayError> {
        self.shared.pay(OrderName::PrepayId(prepay_id), how)
    }

    /// The genuine callback of a paid order, for a test that delivers it itself. Pay with
    /// [`Payment::silent`] first, so that the simulator does not.
    pub fn callback_for(&self, out_trade_no: &str) -> Result<SignedCallback, PayError> {
        self.shared.callback_for(out_trade_no)
    }

    /// Makes callbacks for orders that the simulator never saw, and spoiled ones.
    pub fn callbacks(&self) -> &Arc<CallbackFactory> {
        &self.shared.factory
    }

    /// The keys, for another simulator or a factory of one's own.
    pub fn keys(&self) -> &Arc<KeySet> {
        &self.shared.keys
    }

    /// The switches as they stand.
    pub fn faults(&self) -> Faults {
        self.shared.faults()
    }

    /// Sets every switch, for payments from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.set_faults(faults);
    }

    /// Resolves when no callback is waiting to be sent or sent again.
    pub async fn idle(&self) {
        self.shared.sender.idle().await;
    }

    /// What happened so far.
    pub fn stats(&self) -> Stats {
        self.shared.stats.read()
    }

    /// The fee and the sharing ratio of a merchant, for what happens from now on; a merchant of
    /// direct mode has them too. The trade bill computes fees anew, so it shows the rate of the
    /// moment.
    pub fn set_merchant(&self, mchid: &str, rules: MerchantRules) {
        self.shared.merchants.set(mchid, rules);
    }

    /// What becomes of money shared with an account, and the name it goes by, whatever the switches
    /// say. `ForcedReceiver::default()` forces nothing.
    pub fn force_receiver(&self, account: &str, forced: ForcedReceiver) {
        lock(&self.shared.sharing).force(account, forced);
    }

    /// When bills are ready, and how they are written, from now on.
    pub fn set_bills(&self, settings: BillSettings) {
        self.shared.bills.set(settings);
    }

    /// Issues a second platform certificate and says which serial it has. `/v3/certificates` lists
    /// both from now on; [`KeyShares::next_certificate`] says how often it signs. Again changes
    /// nothing.
    pub fn rotate_certificate(&self) -> String {
        self.shared.switching.rotate(&self.shared.keys)
    }

    /// Sets another `APIv3` key, as the merchant does on the merchant platform. What WeChat
    /// encrypts uses it in [`KeyShares::next_apiv3`] of the cases.
    pub fn change_apiv3_key(&self, key: &SecretString) -> Result<(), SimulatorError> {
        self.shared.switching.change_apiv3_key(key)
    }

    /// WeChat switches the merchant's callbacks from certificate to public key: from now on the
    /// public key signs `public_key` of them. Sets [`Faults::callback_key`] to mixed.
    pub fn share_callbacks(&self, public_key: PerMille) {
        self.shared.share_callbacks(public_key);
    }

    /// How often the new keys are used.
    pub fn set_key_shares(&self, shares: KeyShares) {
        self.shared.switching.set_shares(shares);
    }

    /// How many orders are kept.
    pub fn orders_kept(&self) -> usize {
        lock(&self.shared.orders).len()
    }

    /// Stops serving and sending. Callbacks that were waiting are dropped.
    pub async fn stop(mut self) {
        self.shared.stop.cancel();
        self.shared.sender.stopped().await;
        // A client that never hangs up is not waited for.
        if tokio::time::timeout(Duration::from_secs(2), &mut self.server)
            .await
            .is_err()
        {
            self.server.abort();
        }
    }
}

/// An address to call: a listener on every interface is called through this machine's own.
fn url_of(address: SocketAddr) -> Result<Url, SimulatorError> {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    Ok(Url::parse(&format!("http://{address}/"))?)
}
