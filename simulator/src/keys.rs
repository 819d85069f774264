//! WeChat's keys and the merchant's, and what a merchant system is given of them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use url::Url;

use super::apiv3::Apiv3Cipher;
use super::certificate::{Validity, self_signed};
use super::clock::{compact, random_bytes, system_now};
use super::error::SimulatorError;
use super::rsa::{RsaKey, pem_encode};

const IDENTITY: &str = "identity.json";
const APP_SECRET: &str = "app_secret";
const APIV3_KEY: &str = "apiv3_key";
const MERCHANT_KEY: &str = "apiclient_key.pem";
const PUBLIC_KEY: &str = "pub_key.pem";
const CERTIFICATE: &str = "platform_certificate.pem";
const WECHAT_PUBLIC_KEY: &str = "wechat_only_public_key_pair.pem";
const WECHAT_CERTIFICATE: &str = "wechat_only_certificate_pair.pem";

/// Which of WeChat's keys signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// 微信支付公钥, named `PUB_KEY_ID_…`.
    PublicKey,
    /// 平台证书, named by its serial number.
    Certificate,
    /// The certificate that follows it; made when it is first asked for.
    NextCertificate,
}

/// The names that belong to the keys. Nothing in it is secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Identity {
    app_id: String,
    sp_mchid: String,
    merchant_serial: String,
    public_key_id: String,
    certificate_serial: String,
    #[serde(with = "time::serde::timestamp")]
    certificate_from: OffsetDateTime,
    #[serde(with = "time::serde::timestamp")]
    certificate_until: OffsetDateTime,
}

/// A platform certificate that was issued later.
#[derive(Debug)]
struct Certified {
    serial: String,
    valid: Validity,
    key: RsaKey,
    pem: String,
}

impl Certified {
    fn issue(now: OffsetDateTime) -> Result<Self, SimulatorError> {
        let (serial, serial_hex) = certificate_serial();
        let valid = Validity::starting_before(now);
        let key = RsaKey::generate()?;
        let pem = pem_encode("CERTIFICATE", &self_signed(&key, &serial, valid));
        Ok(Self {
            serial: serial_hex,
            valid,
            key,
            pem,
        })
    }
}

/// Every key of both sides: WeChat's two, the merchant's, and the shared `APIv3` key.
///
/// Making one takes three RSA generations; tests share one between simulators.
#[derive(Debug)]
pub struct KeySet {
    identity: Identity,
    app_secret: SecretString,
    apiv3_key: SecretString,
    cipher: Apiv3Cipher,
    merchant: RsaKey,
    public_key: RsaKey,
    certificate: RsaKey,
    certificate_pem: String,
    next: OnceLock<Certified>,
    dir: Option<PathBuf>,
}

impl KeySet {
    /// New keys, in memory only.
    pub fn generate() -> Result<Self, SimulatorError> {
        let now = system_now();
        let mchid = format!("19{:08}", u32::from_be_bytes(random_bytes()) % 100_000_000);
        let (serial, serial_hex) = certificate_serial();
        let valid = Validity::starting_before(now);
        let certificate = RsaKey::generate()?;
        let certificate_pem = pem_encode("CERTIFICATE", &self_signed(&certificate, &serial, valid));
        let identity = Identity {
            app_id: format!("wx{}", hex::encode(random_bytes::<8>())),
            public_key_id: format!("PUB_KEY_ID_01{mchid}{}00398100000001", &compact(now)[..8]),
            sp_mchid: mchid,
            merchant_serial: certificate_serial().1,
            certificate_serial: serial_hex,
            certificate_from: valid.from,
            certificate_until: valid.until,
        };
        let secrets = [
            hex::encode(random_bytes::<16>()),
            hex::encode(random_bytes::<16>()),
        ];
        let [app_secret, apiv3_key] = secrets.map(SecretString::from);
        Ok(Self {
            cipher: Apiv3Cipher::new(&apiv3_key)?,
            identity,
            app_secret,
            apiv3_key,
            merchant: RsaKey::generate()?,
            public_key: RsaKey::generate()?,
            certificate,
            certificate_pem,
            next: OnceLock::new(),
            dir: None,
        })
    }

    /// The keys kept in `dir`; made there, mode 0600, if it has none.
    ///
    /// `identity.json` is written last: a start that was cut short begins anew.
    pub fn open(dir: &Path) -> Result<Self, SimulatorError> {
        let dir = std::path::absolute(dir).map_err(|source| file_error(dir, source))?;
        let mut keys = if dir.join(IDENTITY).exists() {
            Self::load(&dir)?
        } else {
            let keys = Self::generate()?;
            keys.save(&dir)?;
            keys
        };
        keys.dir = Some(dir);
        Ok(keys)
    }

    fn load(dir: &Path) -> Result<Self, SimulatorError> {
        let text = read(&dir.join(IDENTITY))?;
        let identity = serde_json::from_str(&text)
            .map_err(|source| SimulatorError::Identity(dir.join(IDENTITY), source))?;
        let secret = |name: &str| read(&dir.join(name)).map(|text| SecretString::from(text.trim()));
        let apiv3_key = secret(APIV3_KEY)?;
        Ok(Self {
            identity,
            app_secret: secret(APP_SECRET)?,
            cipher: Apiv3Cipher::new(&apiv3_key)?,
            apiv3_key,
            merchant: RsaKey::from_pem(&read(&dir.join(MERCHANT_KEY))?)?,
            public_key: RsaKey::from_pem(&read(&dir.join(WECHAT_PUBLIC_KEY))?)?,
            certificate: RsaKey::from_pem(&read(&dir.join(WECHAT_CERTIFICATE))?)?,
            certificate_pem: read(&dir.join(CERTIFICATE))?,
            next: OnceLock::new(),
            dir: None,
        })
    }

    fn save(&self, dir: &Path) -> Result<(), SimulatorError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| file_error(dir, source))?;
        let identity = serde_json::to_string_pretty(&self.identity)
            .map_err(|source| SimulatorError::Identity(dir.join(IDENTITY), source))?;
        write_private(&dir.join(APP_SECRET), self.app_secret.expose_secret())?;
        write_private(&dir.join(APIV3_KEY), self.apiv3_key.expose_secret())?;
        write_private(&dir.join(MERCHANT_KEY), &self.merchant.private_pem()?)?;
        write_private(&dir.join(PUBLIC_KEY), &self.public_key.public_pem())?;
        write_private(&dir.join(CERTIFICATE), &self.certificate_pem)?;
        write_private(
            &dir.join(WECHAT_PUBLIC_KEY),
            &self.public_key.private_pem()?,
        )?;
        write_private(
            &dir.join(WECHAT_CERTIFICATE),
            &self.certificate.private_pem()?,
        )?;
        write_private(&dir.join(IDENTITY), &identity)
    }

    /// What a merchant system is given, with the addresses it is to use.
    pub fn credentials(&self, addresses: Addresses) -> Result<Credentials, SimulatorError> {
        Ok(Credentials {
            app_id: self.identity.app_id.clone(),
            app_secret: self.app_secret.clone(),
            sp_mchid: self.identity.sp_mchid.clone(),
            merchant_serial: self.identity.merchant_serial.clone(),
            private_key_pem: SecretString::from(self.merchant.private_pem()?),
            apiv3_key: self.apiv3_key.clone(),
            public_key_id: self.identity.public_key_id.clone(),
            public_key_pem: self.public_key.public_pem(),
            platform_certificate_serial: self.identity.certificate_serial.clone(),
            platform_certificate_pem: self.certificate_pem.clone(),
            addresses,
            dir: self.dir.clone(),
        })
    }

    pub(super) fn app_id(&self) -> &str {
        &self.identity.app_id
    }

    pub(super) fn sp_mchid(&self) -> &str {
        &self.identity.sp_mchid
    }

    pub(super) fn merchant_serial(&self) -> &str {
        &self.identity.merchant_serial
    }

    pub(super) fn app_secret(&self) -> &SecretString {
        &self.app_secret
    }

    pub(super) fn merchant(&self) -> &RsaKey {
        &self.merchant
    }

    /// The platform certificate of that kind; there is none over the public key.
    pub(super) fn certificate(&self, kind: KeyKind) -> Option<(Validity, &str)> {
        match kind {
            KeyKind::PublicKey => None,
            KeyKind::Certificate => {
                let valid = Validity {
                    from: self.identity.certificate_from,
                    until: self.identity.certificate_until,
                };
                Some((valid, &self.certificate_pem))
            }
            KeyKind::NextCertificate => Some((self.next().valid, &self.next().pem)),
        }
    }

    /// The name that goes into `Wechatpay-Serial`.
    pub(super) fn serial(&self, kind: KeyKind) -> &str {
        match kind {
            KeyKind::PublicKey => &self.identity.public_key_id,
            KeyKind::Certificate => &self.identity.certificate_serial,
            KeyKind::NextCertificate => &self.next().serial,
        }
    }

    /// The key of that name. The next certificate has none until it is made.
    pub(super) fn kind_named(&self, serial: &str) -> Option<KeyKind> {
        let next = self.next.get().map(|_| KeyKind::NextCertificate);
        [KeyKind::PublicKey, KeyKind::Certificate]
            .into_iter()
            .chain(next)
            .find(|kind| self.serial(*kind).eq_ignore_ascii_case(serial))
    }

    pub(super) fn wechat(&self, kind: KeyKind) -> &RsaKey {
        match kind {
            KeyKind::PublicKey => &self.public_key,
            KeyKind::Certificate => &self.certificate,
            KeyKind::NextCertificate => &self.next().key,
        }
    }

    /// The `APIv3` key that the merchant was given first.
    pub(super) fn cipher(&self) -> &Apiv3Cipher {
        &self.cipher
    }

    #[cfg(test)]
    pub(super) fn decrypt(&self, nonce: &str, associated: &str, text: &str) -> Option<Vec<u8>> {
        self.cipher.decrypt(nonce, associated, text)
    }

    fn next(&self) -> &Certified {
        self.next.get_or_init(|| {
            Certified::issue(system_now())
                .expect("a machine that made the first keys makes another")
        })
    }
}

/// Where a merchant system finds its WeChat, and where WeChat finds it.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// Instead of `https://api.mch.weixin.qq.com`.
    pub pay_url: Url,
    /// Instead of `https://api.weixin.qq.com`.
    pub mini_program_url: Url,
    /// The service's own address, as WeChat would call it.
    pub notify_base: Option<Url>,
}

/// Everything a merchant system needs to talk to this WeChat. Secrets print as `[REDACTED]`.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The mini-program, `sp_appid` in partner mode.
    pub app_id: String,
    /// The mini-program's secret, for the login.
    pub app_secret: SecretString,
    /// The service provider's merchant number.
    pub sp_mchid: String,
    /// The serial of the merchant's API certificate.
    pub merchant_serial: String,
    /// The merchant's API key, PKCS#8 PEM.
    pub private_key_pem: SecretString,
    /// 32 ASCII characters.
    pub apiv3_key: SecretString,
    /// `PUB_KEY_ID_…`.
    pub public_key_id: String,
    /// WeChat's public key, SPKI PEM.
    pub public_key_pem: String,
    /// 40 upper-case hex digits.
    pub platform_certificate_serial: String,
    /// WeChat's platform certificate.
    pub platform_certificate_pem: String,
    /// Where to call.
    pub addresses: Addresses,
    /// The folder with the key files, if they are kept in one.
    pub dir: Option<PathBuf>,
}

impl Credentials {
    /// The settings as `KEY=value` lines, each key behind `prefix`, with absolute paths. Keys that
    /// are only in memory have no `_FILE` lines, since there is no file.
    pub fn env_file(&self, prefix: &str) -> String {
        let addresses = &self.addresses;
        let mut lines = vec![
            ("PAY_URL", bare(&addresses.pay_url)),
            ("MINI_PROGRAM_URL", bare(&addresses.mini_program_url)),
            ("APP_ID", self.app_id.clone()),
            ("SP_MCHID", self.sp_mchid.clone()),
            ("MERCHANT_SERIAL", self.merchant_serial.clone()),
            ("PUBLIC_KEY_ID", self.public_key_id.clone()),
            ("ALLOW_LOOPBACK_HTTP", "true".to_owned()),
        ];
        if let Some(base) = &addresses.notify_base {
            lines.push(("NOTIFY_BASE", bare(base)));
        }
        if let Some(dir) = &self.dir {
            let files = [
                ("APP_SECRET_FILE", APP_SECRET),
                ("PRIVATE_KEY_FILE", MERCHANT_KEY),
                ("APIV3_KEY_FILE", APIV3_KEY),
                ("PUBLIC_KEY_FILE", PUBLIC_KEY),
                ("PLATFORM_CERTIFICATE_FILE", CERTIFICATE),
            ];
            lines.extend(files.map(|(key, file)| (key, dir.join(file).display().to_string())));
        }
        lines.iter().fold(String::new(), |text, (key, value)| {
            text + prefix + key + "=" + value + "\n"
        })
    }

    /// Writes `wechat.env` into the folder of the keys, whole or not at all.
    pub(super) fn write_env_file(&self, prefix: &str) -> Result<(), SimulatorError> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let (half, whole) = (dir.join("wechat.env.new"), dir.join("wechat.env"));
        write_private(&half, &self.env_file(prefix))?;
        fs::rename(&half, &whole).map_err(|source| file_error(&whole, source))
    }
}

/// A base address without the slash that `Url` puts at its end.
fn bare(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// 20 bytes that print as 40 digits and are a positive integer: the first is 0x40 to 0x7f.
fn certificate_serial() -> ([u8; 20], String) {
    let mut serial: [u8; 20] = random_bytes();
    serial[0] = 0x40 | (serial[0] & 0x3f);
    (serial, hex::encode_upper(serial))
}

fn read(path: &Path) -> Result<String, SimulatorError> {
    fs::read_to_string(path).map_err(|source| file_error(path, source))
}

fn write_private(path: &Path, text: &str) -> Result<(), SimulatorError> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: std::io::Error) -> SimulatorError {
    SimulatorError::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_print_no_secret() {
        let keys = KeySet::generate().unwrap();
        let url = Url::parse("http://127.0.0.1:1").unwrap();
        let addresses = Addresses {
            pay_url: url.clone(),
            mini_program_url: url,
            notify_base: None,
        };
        let credentials = keys.credentials(addresses).unwrap();
        let printed = format!("{credentials:?}{keys:?}");
        let secrets = [
            &credentials.app_secret,
            &credentials.apiv3_key,
            &credentials.private_key_pem,
        ];
        for secret in secrets {
            assert!(!printed.contains(secret.expose_secret()));
        }
        assert!(!credentials.env_file("WECHAT_PAY__").contains("_FILE="));
        assert_eq!(credentials.platform_certificate_serial.len(), 40);
        assert_eq!(credentials.apiv3_key.expose_secret().len(), 32);
    }
}
