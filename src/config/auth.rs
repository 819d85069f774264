//! Who may do what, for how long.

use std::time::Duration;

use super::read::{Section, SettingsGroup};
use crate::primitives::Secret;

#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// `ZHANGFANG_AUTH__JWT_SECRET_FILE` or `ZHANGFANG_AUTH__JWT_SECRET`, required: at least 32
    /// bytes, the same for every process. Who has it can be anybody.
    pub jwt_secret: Secret<String>,
    /// `ZHANGFANG_AUTH__ACCESS_SECONDS`, default 900: how long an access token is good.
    pub access: Duration,
    /// `ZHANGFANG_AUTH__REFRESH_SECONDS`, default 2592000 (30 days): how long one can stay away
    /// without logging in again.
    pub refresh: Duration,
}

const SECRET_MIN_BYTES: usize = 32;

impl SettingsGroup for AuthSettings {
    const SECTION: &'static str = "auth";
    const KEYS: &'static [&'static str] = &[
        "jwt_secret",
        "jwt_secret_file",
        "access_seconds",
        "refresh_seconds",
    ];

    fn read(from: &mut Section<'_>) -> Option<Self> {
        let jwt_secret = from.required_secret(
            "jwt_secret",
            "what tokens are signed with, at least 32 bytes",
        );
        if jwt_secret
            .as_ref()
            .is_some_and(|secret| secret.expose().len() < SECRET_MIN_BYTES)
        {
            from.mistake(
                "jwt_secret",
                "is shorter than 32 bytes; `openssl rand -hex 32` makes one",
            );
        }
        let access = from.number("access_seconds", 900, 60..=86_400);
        let refresh = from.number("refresh_seconds", 2_592_000, 300..=31_536_000);
        if refresh < access {
            from.mistake(
                "refresh_seconds",
                format_args!("is less than the {access} s of an access token"),
            );
        }
        Some(Self {
            jwt_secret: jwt_secret?,
            access: Duration::from_secs(access),
            refresh: Duration::from_secs(refresh),
        })
    }
}
