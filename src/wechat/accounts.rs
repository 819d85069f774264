//! WeChat merchant accounts: one that tenants share, and those of tenants with their own.
//!
//! Every payment and every callback looks up its tenant's account, so the lookup is in memory: a
//! map from tenant to account, which is replaced as a whole. Files are named by the tenants' codes;
//! the caller, who knows the tenants, maps codes to numbers ([`WechatAccounts::assign`]).

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;

use super::{WechatChannel, error::WechatError};
use crate::{
    config::WechatSettings,
    payments::{PaymentChannel, PaymentChannels},
    primitives::{Clock, IdSource, TenantId},
    sharing::{SharingChannel, SharingChannels},
};

/// Every merchant account at WeChat Pay that we collect with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WechatAccounts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    shared: Arc<WechatChannel>,
    own: ArcSwap<HashMap<TenantId, Arc<WechatChannel>>>,
    known: Mutex<AccountFiles>,
}

/// What the map is made of.
#[derive(Debug, Default)]
struct AccountFiles {
    codes: HashMap<TenantId, String>,
    accounts: BTreeMap<String, Arc<WechatChannel>>,
    /// What was complained about last, by file.
    complaints: BTreeMap<PathBuf, String>,
}

impl WechatAccounts {
    /// Parses the keys of every account, those of the tenants' folder included. `ids` makes nonces,
    /// `clock` dates requests and judges the age of answers. Until [`WechatAccounts::assign`] every
    /// tenant has the shared account.
    pub fn new(
        settings: &WechatSettings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Self, WechatError> {
        let open = |settings: &WechatSettings| {
            WechatChannel::new(settings, Arc::clone(&clock), Arc::clone(&ids)).map(Arc::new)
        };
        let shared = open(settings)?;
        let mut known = AccountFiles::default();
        for (code, file) in settings.tenant_files().map_err(WechatError::TenantsDir)? {
            let own = settings.tenant(&file).map_err(WechatError::Settings)?;
            let account = open(&own).map_err(|error| of_tenant(&file, error))?;
            known.accounts.insert(code, account);
        }
        Ok(Self(Arc::new(Inner {
            clock,
            ids,
            shared,
            own: ArcSwap::default(),
            known: Mutex::new(known),
        })))
    }

    /// Says which codes tenants have. Replaces what was said before; the application calls it at
    /// start and when tenants were added.
    pub fn assign(&self, tenants: &[(TenantId, String)]) {
        let mut known = self.known();
        known.codes = tenants.iter().cloned().collect();
        self.publish(&known);
    }

    /// The account of `tenant`: its own, or the shared one.
    pub fn account(&self, tenant: TenantId) -> Arc<WechatChannel> {
        let own = self.0.own.load();
        Arc::clone(own.get(&tenant).unwrap_or(&self.0.shared))
    }

    /// Looks whether key files or tenants' files have changed, takes what has, and fetches platform
    /// certificates when that is due.
    ///
    /// For a job that calls it every few seconds. It never fails: what is broken is logged once and
    /// changes nothing. A tenant whose file is gone has the shared account again; one whose new
    /// file is broken keeps the account that it had.
    pub async fn refresh(&self) {
        let accounts = self.clone();
        if tokio::task::spawn_blocking(move || accounts.reread())
            .await
            .is_err()
        {
            tracing::error!("reading WeChat's key files was interrupted");
        }
        let own: Vec<_> = self.known().accounts.values().cloned().collect();
        self.0.shared.refresh_certificates().await;
        for account in own {
            account.refresh_certificates().await;
        }
    }

    /// Reads all files.
    fn reread(&self) {
        self.0.shared.reread_keys();
        let settings = self.0.shared.keys.settings();
        let files = match settings.tenant_files() {
            Ok(files) => files,
            // A folder that is away for a moment must not send anybody's money elsewhere.
            Err(error) => {
                let folder = settings.tenants_dir.unwrap_or_default();
                let error = WechatError::TenantsDir(error);
                return self.known().complain(&folder, &error);
            }
        };
        let had: BTreeMap<_, _> = self.known().accounts.clone();
        let mut accounts = BTreeMap::new();
        for (code, file) in files {
            let before = had.get(&code).cloned();
            match self.open(&settings, &file, before.as_ref()) {
                Ok(account) => {
                    self.known().complaints.remove(&file);
                    accounts.insert(code, account);
                }
                Err(error) => {
                    self.known().complain(&file, &error);
                    accounts.extend(before.map(|account| (code, account)));
                }
            }
        }
        for gone in had.keys().filter(|code| !accounts.contains_key(*code)) {
            tracing::warn!(
                "tenant {gone} has no file in ZHANGFANG_WECHAT__TENANTS_DIR any more; it has the shared account from now on"
            );
        }
        let mut known = self.known();
        known.accounts = accounts;
        self.publish(&known);
    }

    /// The account of a tenant's file: the one that there is, with new keys if only those have
    /// changed, or a new one.
    fn open(
        &self,
        settings: &WechatSettings,
        file: &Path,
        before: Option<&Arc<WechatChannel>>,
    ) -> Result<Arc<WechatChannel>, WechatError> {
        let now = settings.tenant(file)?;
        if let Some(account) = before
            && same_but_keys(&account.keys.settings(), &now)
        {
            account
                .keys
                .adopt(now)
                .map_err(|error| of_tenant(file, error))?;
            return Ok(Arc::clone(account));
        }
        let (clock, ids) = (Arc::clone(&self.0.clock), Arc::clone(&self.0.ids));
        WechatChannel::new(&now, clock, ids)
            .map(Arc::new)
            .map_err(|error| of_tenant(file, error))
    }

    fn publish(&self, known: &AccountFiles) {
        let account = |(tenant, code): (&TenantId, &String)| {
            Some((*tenant, Arc::clone(known.accounts.get(code)?)))
        };
        let own: HashMap<_, _> = known.codes.iter().filter_map(account).collect();
        self.0.own.store(Arc::new(own));
    }

    fn known(&self) -> MutexGuard<'_, AccountFiles> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AccountFiles {
    /// Once for as long as it is the same.
    fn complain(&mut self, file: &Path, error: &WechatError) {
        let sentence = match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        if self.complaints.get(file) != Some(&sentence) {
            tracing::error!("a tenant's merchant account stays as it was: {sentence}");
            self.complaints.insert(file.to_owned(), sentence);
        }
    }
}

impl WechatChannel {
    /// Takes what the key files hold now, if it has changed and is valid.
    pub(super) fn reread_keys(&self) {
        let taken = self
            .keys
            .settings()
            .reread()
            .map_err(WechatError::Settings)
            .and_then(|settings| self.keys.adopt(settings));
        if let Err(error) = taken {
            self.keys.complain(&error);
        }
    }
}

fn of_tenant(file: &Path, error: WechatError) -> WechatError {
    WechatError::Tenant {
        file: file.to_owned(),
        error: Box::new(error),
    }
}

/// Whether two settings differ in keys at most, so that one account can go from one to the other.
fn same_but_keys(one: &WechatSettings, other: &WechatSettings) -> bool {
    let other_with_keys_of_one = WechatSettings {
        merchant_serial: one.merchant_serial.clone(),
        private_key_pem: one.private_key_pem.clone(),
        apiv3_key: one.apiv3_key.clone(),
        apiv3_key_old: one.apiv3_key_old.clone(),
        public_key: one.public_key.clone(),
        platform_certificates_pem: one.platform_certificates_pem.clone(),
        files: one.files.clone(),
        ..other.clone()
    };
    *one == other_with_keys_of_one
}

impl PaymentChannels for WechatAccounts {
    fn of(&self, tenant: TenantId) -> Arc<dyn PaymentChannel> {
        self.account(tenant)
    }
}

impl SharingChannels for WechatAccounts {
    fn of(&self, tenant: TenantId) -> Arc<dyn SharingChannel> {
        self.account(tenant)
    }
}
