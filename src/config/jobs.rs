//! Jobs: what is done without being asked.

use super::read::{Section, SettingsGroup};

#[derive(Debug, Clone, Copy)]
pub struct JobSettings {
    /// `ZHANGFANG_JOBS__TIME_SCALE`, 1 to 1000, default 1: divides every wait before WeChat is
    /// asked again. For a simulator whose time runs faster.
    pub time_scale: u32,
    /// `ZHANGFANG_JOBS__EXPIRY_SHARE`, per cent, 1 to 100, default 10: how much of the time the
    /// nightly expiry of points works at most. For the rest of it payments have the database for
    /// themselves.
    pub expiry_share: u32,
}

impl SettingsGroup for JobSettings {
    const SECTION: &'static str = "jobs";
    const KEYS: &'static [&'static str] = &["time_scale", "expiry_share"];

    fn read(from: &mut Section<'_>) -> Option<Self> {
        Some(Self {
            time_scale: from.number("time_scale", 1, 1..=1_000),
            expiry_share: from.number("expiry_share", 10, 1..=100),
        })
    }
}
