//! What is written about the running.

use std::str::FromStr;

use super::read::{Section, SettingsGroup};

#[derive(Debug, Clone)]
pub struct LogSettings {
    /// `ZHANGFANG_LOG__FORMAT`, `pretty` or `json`, default `pretty`.
    pub format: LogFormat,
    /// `ZHANGFANG_LOG__FILTER`, default `info`: directives of tracing's `EnvFilter`, such as
    /// `info,sqlx=warn`.
    pub filter: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people at a terminal.
    Pretty,
    /// One object a line, for collectors.
    Json,
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
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
