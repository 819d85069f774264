//! The connections that there are, and who makes room for whom.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{STALLED, refused::Reason};
use crate::config::{ConnectionSettings, HttpSettings, TrustedProxies};

/// How long a connection is new: time enough for a request to come with it.
const NEW: Duration = Duration::from_millis(200);

/// Of the descriptors, what callers leave to the database, to Redis, to WeChat and to files; half,
/// when there are few.
const SPARE_DESCRIPTORS: usize = 256;

pub(super) struct Connections {
    bounds: ConnectionSettings,
    trusted: TrustedProxies,
    all: Mutex<All>,
    /// One ended, or began to wait.
    changed: Notify,
}

#[derive(Default)]
struct All {
    slots: HashMap<u64, Arc<Slot>>,
    by_network: HashMap<IpAddr, usize>,
    next: u64,
}

/// One connection.
pub(super) struct Slot {
    id: u64,
    network: IpAddr,
    trusted: bool,
    reserve: AtomicBool,
    state: Mutex<State>,
    taken: CancellationToken,
}

#[derive(Debug, Clone, Copy)]
struct State {
    phase: Phase,
    since: Instant,
    /// An answer finds no taker since then.
    blocked: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing was read yet.
    New,
    /// Answered; the next request may come.
    Idle,
    /// A part of a head was read.
    Head,
    Served,
}

/// Which time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    Head { begun: bool },
    Idle,
    Stalled,
}

pub(super) enum Admission {
    Admitted(Seat),
    Refused(Reason),
}

/// A connection's place, given back when dropped.
pub(super) struct Seat {
    slot: Arc<Slot>,
    among: Arc<Connections>,
}

impl Seat {
    pub(super) const fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.among.lock().remove(self.slot.id);
        self.among.changed.notify_waiters();
    }
}

impl Connections {
    pub(super) fn new(settings: &HttpSettings, trusted: &TrustedProxies) -> Arc<Self> {
        let wanted = &settings.connections;
        let bounds = wanted.clone().within(descriptors().map(usable));
        if bounds.max < wanted.max {
            tracing::warn!(
                connections_max = bounds.max,
                reserved = bounds.reserved,
                "the process may open too few files for ZHANGFANG_HTTP__CONNECTIONS_MAX={}: it keeps {} connections (ulimit -n)",
                wanted.max,
                bounds.max,
            );
        }
        Arc::new(Self {
            bounds,
            trusted: trusted.clone(),
            all: Mutex::default(),
            changed: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when another connection can be taken.
    pub(super) async fn room(&self) {
        while !self.has_room() {
            // Not only by notice: one that is notified before it listens must not wait for ever.
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep(Duration::from_millis(20)) => {}
            }
        }
    }

    fn has_room(&self) -> bool {
        let most = self.bounds.max.saturating_add(self.bounds.reserved);
        let all = self.lock();
        all.slots.len() < most || all.longest(|_| true, Instant::now()).is_some()
    }

    /// A place for a connection from this address.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr, now: Instant) -> Admission {
        let peer = peer.to_canonical();
        let (network, trusted) = (network(peer), self.trusted.contain(peer));
        let bounds = &self.bounds;
        // Whoever waits since after this has just come, and may have its request on the way.
        let new = now.checked_sub(NEW).unwrap_or(now);
        let mut all = self.lock();
        let mut reserve = false;
        let theirs = all.by_network.get(&network).copied().unwrap_or(0);
        if !trusted && theirs >= bounds.per_address_max {
            let same = |slot: &Slot| slot.network == network;
            if !all.take_longest(same, new) {
                if theirs >= bounds.per_address_max + bounds.reserved
                    && !all.take_longest(same, now)
                {
                    return Admission::Refused(Reason::Address);
                }
                reserve = true;
            }
        }
        if all.slots.len() >= bounds.max && !all.take_longest(|_| true, new) {
            if all.slots.len() >= bounds.max + bounds.reserved && !all.take_longest(|_| true, now) {
                return Admission::Refused(Reason::Crowded);
            }
            reserve = true;
        }
        let id = all.next;
        all.next = all.next.wrapping_add(1);
        let slot = Arc::new(Slot {
            id,
            network,
            trusted,
            reserve: AtomicBool::new(reserve),
            state: Mutex::new(State {
                phase: Phase::New,
                since: now,
                blocked: None,
            }),
            taken: CancellationToken::new(),
        });
        all.insert(Arc::clone(&slot));
        drop(all);
        Admission::Admitted(Seat {
            slot,
            among: Arc::clone(self),
        })
    }

    /// Takes away what has waited longest: for when descriptors have run out.
    pub(super) fn make_room(&self) {
        self.lock().take_longest(|_| true, Instant::now());
    }

    /// Whether the connection is one too many still, now that it has a request.
    pub(super) fn is_reserve(&self, slot: &Slot) -> bool {
        if !slot.reserve.load(Ordering::Relaxed) {
            return false;
        }
        let all = self.lock();
        let theirs = all.by_network.get(&slot.network).copied().unwrap_or(0);
        let crowded = all.slots.len() > self.bounds.max
            || !slot.trusted && theirs > self.bounds.per_address_max;
        slot.reserve.store(crowded, Ordering::Relaxed);
        crowded
    }
}

impl All {
    fn insert(&mut self, slot: Arc<Slot>) {
        let theirs = self.by_network.entry(slot.network).or_default();
        *theirs = theirs.saturating_add(1);
        self.slots.insert(slot.id, slot);
        self.update_gauge();
    }

    fn remove(&mut self, id: u64) {
        let Some(slot) = self.slots.remove(&id) else {
            return;
        };
        if let Some(theirs) = self.by_network.get_mut(&slot.network) {
            *theirs = theirs.saturating_sub(1);
            if *theirs == 0 {
                self.by_network.remove(&slot.network);
            }
        }
        self.update_gauge();
    }

    fn update_gauge(&self) {
        let count = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        metrics::gauge!("http_connections").set(f64::from(count));
    }

    /// Which of them has waited longest, and since then at least; a trusted proxy's only when there
    /// is no other.
    fn longest(&self, which: impl Fn(&Slot) -> bool, before: Instant) -> Option<u64> {
        self.slots
            .values()
            .filter(|slot| which(slot))
            .filter_map(|slot| Some((slot.trusted, slot.waiting_since()?, slot.id)))
            .filter(|(_, since, _)| *since <= before)
            .min()
            .map(|(_, _, id)| id)
    }

    fn take_longest(&mut self, which: impl Fn(&Slot) -> bool, before: Instant) -> bool {
        let Some(id) = self.longest(which, before) else {
            return false;
        };
        if let Some(slot) = self.slots.get(&id) {
            slot.taken.cancel();
        }
        self.remove(id);
        true
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancelled when somebody else needs the place.
    pub(super) const fn taken(&self) -> &CancellationToken {
        &self.taken
    }

    fn waiting_since(&self) -> Option<Instant> {
        let state = self.lock();
        match state.phase {
            Phase::New | Phase::Idle | Phase::Head => Some(state.since),
            Phase::Served => None,
        }
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.lock();
        state.phase = phase;
        state.since = Instant::now();
    }

    /// Bytes came. A connection's first head has its time from the beginning.
    pub(super) fn received(&self) {
        let mut state = self.lock();
        match state.phase {
            Phase::New => state.phase = Phase::Head,
            Phase::Idle => {
                state.phase = Phase::Head;
                state.since = Instant::now();
            }
            Phase::Head | Phase::Served => {}
        }
    }

    /// A head was read.
    pub(super) fn serve(&self) {
        self.enter(Phase::Served);
    }

    /// The answer was given to the connection.
    pub(super) fn answered(&self) {
        self.enter(Phase::Idle);
    }

    /// Whether the other side takes what is written.
    pub(super) fn wrote(&self, something: bool) {
        let mut state = self.lock();
        state.blocked = match (something, state.blocked) {
            (true, _) => None,
            (false, Some(since)) => Some(since),
            (false, None) => Some(Instant::now()),
        };
    }

    /// When it is worth asking whether something is overdue.
    pub(super) fn deadline(&self, among: &Connections) -> Instant {
        let state = *self.lock();
        let settings = &among.bounds;
        let phase = match state.phase {
            Phase::New | Phase::Head => state.since + settings.head_timeout,
            Phase::Idle => state.since + settings.idle_timeout,
            // It may become another phase meanwhile, and this is not woken by that.
            Phase::Served => Instant::now() + settings.head_timeout,
        };
        let soon = Instant::now() + settings.head_timeout.min(settings.idle_timeout);
        let blocked = state.blocked.map(|since| since + STALLED);
        blocked.unwrap_or(phase).min(phase).min(soon)
    }

    pub(super) fn overdue(&self, among: &Connections) -> Option<Overdue> {
        let state = *self.lock();
        let settings = &among.bounds;
        let waited = state.since.elapsed();
        if state
            .blocked
            .is_some_and(|since| since.elapsed() >= STALLED)
        {
            return Some(Overdue::Stalled);
        }
        match state.phase {
            Phase::New | Phase::Head if waited >= settings.head_timeout => Some(Overdue::Head {
                begun: state.phase == Phase::Head,
            }),
            Phase::Idle if waited >= settings.idle_timeout => Some(Overdue::Idle),
            Phase::New | Phase::Head | Phase::Idle | Phase::Served => None,
        }
    }
}

/// Whose connections are counted together.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

/// How many files the process may open; none where nobody says.
fn descriptors() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

const fn usable(descriptors: usize) -> usize {
    let half = descriptors / 2;
    let spare = if half < SPARE_DESCRIPTORS {
        half
    } else {
        SPARE_DESCRIPTORS
    };
    descriptors.saturating_sub(spare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(max: usize, per_address_max: usize, reserved: usize) -> Arc<Connections> {
        Arc::new(Connections {
            bounds: ConnectionSettings {
                max,
                per_address_max,
                reserved,
                ..ConnectionSettings::default()
            },
            trusted: "10.0.0.0/8".parse().unwrap(),
            all: Mutex::default(),
            changed: Notify::new(),
        })
    }

    fn seat(among: &Arc<Connections>, address: &str, now: Instant) -> Seat {
        match among.admit(address.parse().unwrap(), now) {
            Admission::Admitted(seat) => seat,
            Admission::Refused(reason) => panic!("refused: {reason:?}"),
        }
    }

    #[test]
    fn whoever_waits_longest_makes_room() {
        let among = connections(2, 9, 1);
        let begin = Instant::now();
        let first = seat(&among, "192.0.2.1", begin);
        let second = seat(&among, "192.0.2.2", begin + NEW);
        first.slot().serve();
        let third = seat(&among, "192.0.2.3", begin + NEW + NEW);
        assert!(second.slot().taken().is_cancelled());
        assert!(!first.slot().taken().is_cancelled());
        assert!(!among.is_reserve(third.slot()));
        // A new one keeps its place, and the next is one too many.
        let fourth = seat(&among, "192.0.2.4", begin + NEW + NEW);
        assert!(!third.slot().taken().is_cancelled());
        assert!(among.is_reserve(fourth.slot()));
        // Where there is no place beyond, even a new one loses it.
        let fifth = seat(&among, "192.0.2.5", begin + NEW + NEW);
        assert!(third.slot().taken().is_cancelled());
        assert!(among.is_reserve(fifth.slot()));
    }

    #[test]
    fn a_trusted_proxy_makes_room_last_and_is_not_counted_by_address() {
        let among = connections(4, 1, 1);
        let begin = Instant::now();
        let proxies: Vec<_> = (0..3).map(|_| seat(&among, "10.0.0.1", begin)).collect();
        let stranger = seat(&among, "192.0.2.1", begin + NEW);
        let _another = seat(&among, "192.0.2.2", begin + NEW + NEW);
        assert!(stranger.slot().taken().is_cancelled());
        assert!(
            proxies
                .iter()
                .all(|seat| !seat.slot().taken().is_cancelled())
        );
    }

    #[test]
    fn where_all_are_served_the_reserve_begins_and_ends() {
        let among = connections(2, 9, 1);
        let now = Instant::now();
        let seats = ["192.0.2.1", "192.0.2.2"].map(|address| seat(&among, address, now));
        for seat in &seats {
            seat.slot().serve();
        }
        let extra = seat(&among, "192.0.2.3", now);
        assert!(among.is_reserve(extra.slot()));
        extra.slot().serve();
        assert!(matches!(
            among.admit([192, 0, 2, 4].into(), now),
            Admission::Refused(Reason::Crowded)
        ));
        assert!(!among.has_room());
        drop(seats);
        assert!(!among.is_reserve(extra.slot()), "there is room by now");
        assert!(among.has_room());
    }

    #[test]
    fn one_address_does_not_take_everybodys_place() {
        let among = connections(100, 2, 1);
        let now = Instant::now();
        let theirs = ["2001:db8::1", "2001:db8::2", "2001:db8::3"];
        let seats = theirs.map(|address| seat(&among, address, now));
        assert!(among.is_reserve(seats[2].slot()), "one network");
        for seat in &seats {
            seat.slot().serve();
        }
        assert!(matches!(
            among.admit("2001:db8::9".parse().unwrap(), now),
            Admission::Refused(Reason::Address)
        ));
        let other = seat(&among, "2001:db8:0:1::", now);
        assert!(!among.is_reserve(other.slot()));
    }

    #[test]
    fn descriptors_bound_what_callers_get() {
        assert!(descriptors().is_some());
        assert_eq!(usable(300), 150);
        assert_eq!(usable(1024), 768);
        let bounds = ConnectionSettings::default().within(Some(usable(300)));
        assert_eq!(bounds.max + bounds.reserved, 150);
        let plenty = ConnectionSettings::default().within(Some(1_000_000));
        assert_eq!(plenty.max, ConnectionSettings::default().max);
    }
}
