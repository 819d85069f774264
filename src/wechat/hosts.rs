//! The hosts of WeChat Pay: a main host, and a backup in another city (§0).
//!
//! The host is not part of any signature, so the same request can be sent to the backup. The backup
//! is used when the main host cannot be connected to or answers 502 or 503, and for [`AVOIDED_FOR`]
//! after that, so that not every call tries the failed host first.

use crate::primitives::coded;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use url::{Origin, Url};

use super::answer::Failure;

/// How long the first host is left out after it failed.
const AVOIDED_FOR: Duration = Duration::from_mins(1);

coded! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Host {
        Main => "main",
        Backup => "backup",
    }
}

#[derive(Debug)]
pub(super) struct Hosts {
    main: Url,
    backup: Option<Url>,
    /// The first host is left out until then.
    avoided: Mutex<Option<Instant>>,
}

impl Hosts {
    pub(super) fn new(main: Url, backup: Option<Url>) -> Self {
        Self {
            main,
            backup,
            avoided: Mutex::new(None),
        }
    }

    /// Whom to ask now, and whom instead.
    pub(super) fn choose(&self, now: Instant) -> (Host, Option<Host>) {
        if self.backup.is_none() {
            return (Host::Main, None);
        }
        let avoided = *self.avoided.lock().unwrap_or_else(PoisonError::into_inner);
        if avoided.is_some_and(|until| now < until) {
            (Host::Backup, Some(Host::Main))
        } else {
            (Host::Main, Some(Host::Backup))
        }
    }

    pub(super) fn base(&self, host: Host) -> &Url {
        match (host, &self.backup) {
            (Host::Backup, Some(backup)) => backup,
            (Host::Main | Host::Backup, _) => &self.main,
        }
    }

    /// Which of the two an address is at, if at any: nothing of ours is sent elsewhere.
    pub(super) fn of(&self, url: &Url) -> Option<Host> {
        let origin = url.origin();
        let at = |base: &Url| matches!(origin, Origin::Tuple(..)) && base.origin() == origin;
        if at(&self.main) {
            Some(Host::Main)
        } else if self.backup.as_ref().is_some_and(at) {
            Some(Host::Backup)
        } else {
            None
        }
    }

    /// Learns from a failure.
    pub(super) fn note(&self, host: Host, failure: Failure, now: Instant) {
        let down = match failure {
            Failure::Unreachable | Failure::Server(502 | 503) => true,
            Failure::Broken
            | Failure::Server(_)
            | Failure::Pending
            | Failure::Unverified
            | Failure::Probe
            | Failure::Unclear
            | Failure::NotAsked => false,
        };
        if down && self.backup.is_some() {
            let until = match host {
                Host::Main => now.checked_add(AVOIDED_FOR),
                // Both: begin with the first again.
                Host::Backup => None,
            };
            let mut avoided = self.avoided.lock().unwrap_or_else(PoisonError::into_inner);
            if avoided.is_none() && until.is_some() {
                tracing::warn!(
                    "WeChat Pay's first host is down; asking the other one for a minute"
                );
            }
            *avoided = until;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(backup: Option<&str>) -> Hosts {
        let url = |text: &str| Url::parse(text).unwrap();
        Hosts::new(url("https://api.mch.weixin.qq.com"), backup.map(url))
    }

    #[test]
    fn the_stand_in_is_asked_for_a_while_after_the_first_was_down() {
        let hosts = hosts(Some("https://api2.mch.weixin.qq.com"));
        let now = Instant::now();
        let first = |at| hosts.choose(at).0;
        assert_eq!(first(now), Host::Main);
        for failure in [Failure::Broken, Failure::Server(500), Failure::Probe] {
            hosts.note(Host::Main, failure, now);
            assert_eq!(first(now), Host::Main, "{failure:?}");
        }
        hosts.note(Host::Main, Failure::Server(502), now);
        assert_eq!(first(now), Host::Backup);
        assert_eq!(first(now + AVOIDED_FOR), Host::Main);
        hosts.note(Host::Backup, Failure::Unreachable, now);
        assert_eq!(first(now), Host::Main);
    }

    #[test]
    fn without_a_stand_in_there_is_one_host() {
        let hosts = hosts(None);
        hosts.note(Host::Main, Failure::Unreachable, Instant::now());
        assert_eq!(hosts.choose(Instant::now()), (Host::Main, None));
    }

    #[test]
    fn only_our_hosts_are_ours() {
        let hosts = hosts(Some("https://api2.mch.weixin.qq.com"));
        let of = |text: &str| hosts.of(&Url::parse(text).unwrap());
        assert_eq!(
            of("https://api.mch.weixin.qq.com/v3/x?token=1"),
            Some(Host::Main)
        );
        assert_eq!(
            of("https://api2.mch.weixin.qq.com:443/v3/x"),
            Some(Host::Backup)
        );
        for foreign in [
            "http://api.mch.weixin.qq.com/",
            "https://api.mch.weixin.qq.com:444/",
            "https://api.mch.weixin.qq.com.example.com/",
            "https://api.mch.weixin.qq.com@example.com/",
            "https://example.com/api.mch.weixin.qq.com",
            "data:,x",
        ] {
            assert_eq!(of(foreign), None, "{foreign}");
        }
    }
}
