//! Errors in the settings and keys for WeChat, found at start. Each message names the setting.

use std::path::PathBuf;

use crate::config::SettingsError;

/// Keys or certificates that are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum WechatError {
    #[error(
        "ZHANGFANG_WECHAT__PRIVATE_KEY_FILE holds no RSA key of 2048 bits or more in PKCS#8 PEM (`BEGIN PRIVATE KEY`)"
    )]
    PrivateKey,
    #[error("ZHANGFANG_WECHAT__PUBLIC_KEY_FILE holds no RSA key in PEM (`BEGIN PUBLIC KEY`)")]
    PublicKey,
    #[error(
        "ZHANGFANG_WECHAT__PLATFORM_CERTIFICATE_FILE holds no X.509 certificate with an RSA key in PEM"
    )]
    Certificate,
    #[error(
        "ZHANGFANG_WECHAT__PLATFORM_CERTIFICATE_FILE holds expired certificates only, and no public key is set"
    )]
    CertificateExpired,
    #[error("ZHANGFANG_WECHAT__APIV3_KEY has not the 32 bytes of an APIv3 key")]
    Apiv3Key,
    #[error("neither a public key nor a platform certificate of WeChat is set")]
    NoKey,
    #[error("the HTTP client for WeChat cannot be built")]
    HttpClient(#[from] reqwest::Error),
    #[error("the folder of ZHANGFANG_WECHAT__TENANTS_DIR cannot be read")]
    TenantsDir(#[source] std::io::Error),
    /// Of a key file that was read again, or of a tenant's file.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The sentence names the variable by which the key is called; it is the key of that name in
    /// the file.
    #[error("{}: {error}", file.display())]
    Tenant {
        file: PathBuf,
        #[source]
        error: Box<WechatError>,
    },
}
