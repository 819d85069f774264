//! Settings of WeChat that may change while the service runs: the files of keys, and the files of
//! tenants.
//!
//! Keys are replaced without a restart by replacing their files. Files that belong together (a
//! private key and its serial number) are replaced together, as a folder that is a link is
//! (Kubernetes does it so); who replaces them one by one has a moment with a key and a serial
//! number that do not belong together.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    SettingsError,
    read::{Reader, whole_file},
    wechat::{WechatSettings, is_serial},
};
use crate::primitives::Secret;

impl WechatSettings {
    /// These settings with what the key files hold now. Fails with a sentence for each file that
    /// is missing, empty or plainly not what it should be.
    pub fn reread(&self) -> Result<Self, SettingsError> {
        let mut now = self.clone();
        let mut mistakes = Vec::new();
        let mut hold = |path: &Option<PathBuf>, setting: &str| {
            let path = path.as_ref()?;
            whole_file(path)
                .map_err(|is| mistakes.push(format!("{setting} {is}.")))
                .ok()
        };
        let files = &self.files;
        if let Some(text) = hold(
            &files.merchant_serial,
            "ZHANGFANG_WECHAT__MERCHANT_SERIAL_FILE",
        ) {
            now.merchant_serial = text.trim().to_ascii_uppercase();
        }
        if let Some(text) = hold(&files.private_key, "ZHANGFANG_WECHAT__PRIVATE_KEY_FILE") {
            now.private_key_pem = Secret::new(text);
        }
        if let Some(text) = hold(&files.apiv3_key, "ZHANGFANG_WECHAT__APIV3_KEY_FILE") {
            now.apiv3_key = Secret::new(text.trim().to_owned());
        }
        if let Some(text) = hold(&files.apiv3_key_old, "ZHANGFANG_WECHAT__APIV3_KEY_OLD_FILE") {
            now.apiv3_key_old = Some(Secret::new(text.trim().to_owned()));
        }
        let public = hold(&files.public_key, "ZHANGFANG_WECHAT__PUBLIC_KEY_FILE");
        if let (Some(text), Some(key)) = (public, &mut now.public_key) {
            key.pem = text;
        }
        if let Some(text) = hold(
            &files.platform_certificate,
            "ZHANGFANG_WECHAT__PLATFORM_CERTIFICATE_FILE",
        ) {
            now.platform_certificates_pem = Some(text);
        }
        if !is_serial(&now.merchant_serial) {
            mistakes.push(
                "ZHANGFANG_WECHAT__MERCHANT_SERIAL_FILE names a file without 40 hex digits."
                    .to_owned(),
            );
        }
        if mistakes.is_empty() {
            Ok(now)
        } else {
            Err(SettingsError::new(mistakes))
        }
    }

    /// Codes and files of the tenants with an account of their own, by code. None without a folder;
    /// an error when the folder cannot be read.
    pub fn tenant_files(&self) -> io::Result<Vec<(String, PathBuf)>> {
        let Some(folder) = &self.tenants_dir else {
            return Ok(Vec::new());
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let code = path.file_stem().and_then(|stem| stem.to_str());
            // Kubernetes keeps links with leading dots beside the files.
            if let Some(code) = code.filter(|code| !code.starts_with('.'))
                && path
                    .extension()
                    .is_some_and(|extension| extension == "toml")
            {
                files.push((code.to_owned(), path.clone()));
            }
        }
        files.sort();
        Ok(files)
    }

    /// One tenant's account from its file. Addresses and mini-program are ours unless the file says
    /// otherwise; the rest it must say itself.
    pub fn tenant(&self, file: &Path) -> Result<Self, SettingsError> {
        let mut inherited = vec![
            ("pay_url", self.pay_url.to_string(), ""),
            ("mini_program_url", self.mini_program_url.to_string(), ""),
            ("app_id", self.app_id.clone(), ""),
            (
                "app_secret",
                self.app_secret.expose().clone(),
                "app_secret_file",
            ),
            ("notify_base", self.notify_base.to_string(), ""),
            (
                "allow_loopback_http",
                self.allow_loopback_http.to_string(),
                "",
            ),
        ];
        if let Some(url) = &self.backup_url {
            inherited.push(("backup_url", url.to_string(), "pay_url"));
        }
        let mut from = Reader::standalone::<Self>(file, &inherited);
        let settings: Option<Self> = from.read();
        let shown = file.display();
        let of_tenant = from.finish(|| settings)?;
        if of_tenant.tenants_dir.is_some() {
            let sentence = format!("`tenants_dir` in {shown} is not a setting of a tenant.");
            return Err(SettingsError::new(vec![sentence]));
        }
        Ok(of_tenant)
    }
}
