//! Where the rules of risk are, and how long they are waited for.

use std::{path::PathBuf, time::Duration};

use super::read::{Section, SettingsGroup};

#[derive(Debug, Clone)]
pub struct RiskSettings {
    /// `ZHANGFANG_RISK__ENABLED`, default `true`: without risk everything is allowed and no
    /// decision is stored.
    pub enabled: bool,
    /// `ZHANGFANG_RISK__RULES`, default `risk-rules.yaml`: the file of rules. The first must be
    /// there and sound at the start; later, a change of it is in force within a second, if it is
    /// sound.
    pub rules: PathBuf,
    /// `ZHANGFANG_RISK__REDIS_TIMEOUT_MS`, 1 to 1000, default 20: how long a decision waits for its
    /// counters before its rules do what their `on_missing` says.
    pub redis_timeout: Duration,
}

impl Default for RiskSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            rules: PathBuf::from("risk-rules.yaml"),
            redis_timeout: Duration::from_millis(20),
        }
    }
}

impl SettingsGroup for RiskSettings {
    const SECTION: &'static str = "risk";
    const KEYS: &'static [&'static str] = &["enabled", "rules", "redis_timeout_ms"];

    fn read(from: &mut Section<'_>) -> Option<Self> {
        let usual = Self::default();
        let enabled = from.or("enabled", usual.enabled, "`true` or `false`");
        let rules = from.path("rules").unwrap_or(usual.rules);
        let redis_timeout = from.number("redis_timeout_ms", 20, 1..=1_000);
        Some(Self {
            enabled,
            rules,
            redis_timeout: Duration::from_millis(redis_timeout),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, read::Reader};

    fn read(given: &[(&str, &str)]) -> Result<RiskSettings, String> {
        let mut from = Reader::open(&Source::of(given.iter().copied()));
        let risk = from.read();
        from.finish(|| risk).map_err(|error| error.to_string())
    }

    #[test]
    fn risk_is_on_unless_switched_off() {
        let usual = read(&[]).unwrap();
        assert!(usual.enabled);
        assert_eq!(usual.rules, PathBuf::from("risk-rules.yaml"));
        assert_eq!(usual.redis_timeout, Duration::from_millis(20));
        let changed = read(&[
            ("ZHANGFANG_RISK__ENABLED", "false"),
            ("ZHANGFANG_RISK__RULES", "/etc/zhangfang/rules.yaml"),
            ("ZHANGFANG_RISK__REDIS_TIMEOUT_MS", "7"),
        ])
        .unwrap();
        assert!(!changed.enabled);
        assert_eq!(changed.rules, PathBuf::from("/etc/zhangfang/rules.yaml"));
        assert_eq!(changed.redis_timeout, Duration::from_millis(7));
    }

    #[test]
    fn a_wrong_setting_is_reported_by_name() {
        for (name, value) in [
            ("ZHANGFANG_RISK__ENABLED", "sometimes"),
            ("ZHANGFANG_RISK__REDIS_TIMEOUT_MS", "2000"),
        ] {
            let told = read(&[(name, value)]).unwrap_err();
            assert!(told.starts_with(&format!("{name} is `{value}`")), "{told}");
        }
    }
}
