//! The log: its format and its filter.

use std::str::FromStr;

use super::read::{Section, SettingsGroup};
use crate::primitives::coded;

#[derive(Debug, Clone)]
pub struct LogSettings {
    /// `ZHANGFANG_LOG__FORMAT`, `pretty` or `json`, default `pretty`.
    pub format: LogFormat,
    /// `ZHANGFANG_LOG__FILTER`, default `info`: directives of tracing's `EnvFilter`, such as
    /// `info,sqlx=warn`.
    pub filter: String,
}

coded! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum LogFormat {
        /// For people at a terminal.
        Pretty => "pretty",
        /// One object a line, for collectors.
        Json => "json",
    }
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::from_name(text).ok_or(())
    }
}

impl SettingsGroup for LogSettings {
    const SECTION: &'static str = "log";
    const KEYS: &'static [&'static str] = &["format", "filter"];

    fn read(from: &mut Section<'_>) -> Option<Self> {
        Some(Self {
            format: from.or("format", LogFormat::Pretty, "`pretty` or `json`"),
            filter: from.given("filter").unwrap_or_else(|| "info".to_owned()),
        })
    }
}
