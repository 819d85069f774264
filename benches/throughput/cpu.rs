//! What each party uses of the processors, from `/proc`: throughput alone does not tell who pays
//! for what on a machine that all of them share.

use std::{fs, ops::Sub, path::Path};

use sqlx::{ConnectOptions as _, Row as _, mysql::MySqlConnectOptions};

/// Linux tells processor time in hundredths of a second.
const TICK_US: f64 = 10_000.0;

/// What the threads of the simulator are called.
pub(crate) const SIMULATOR: &str = "simulator";

/// Processor time in microseconds, of the machine's own clock ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    pub(crate) service: f64,
    pub(crate) mysql: f64,
    pub(crate) redis: f64,
    /// This process, which sends the load, without the simulator in it.
    pub(crate) generator: f64,
    pub(crate) simulator: f64,
}

/// Whose processor time is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parties {
    /// None where this process itself does what is measured.
    service: Option<u32>,
    mysql: Option<u32>,
    redis: Option<u32>,
}

impl Parties {
    /// The servers may be on another machine; then nothing is told of them.
    pub(crate) async fn find(service: Option<u32>, database: &MySqlConnectOptions) -> Self {
        Self {
            service,
            mysql: mysql(database).await,
            redis: redis().await,
        }
    }

    pub(crate) fn used(&self) -> Cpu {
        let of = |process: Option<u32>| {
            let file = process.map(|process| format!("/proc/{process}/stat"));
            file.and_then(|file| used(&file)).unwrap_or(f64::NAN)
        };
        let this = used("/proc/self/stat").unwrap_or(f64::NAN);
        let simulator = threads(SIMULATOR);
        Cpu {
            service: self.service.map_or(this, |service| of(Some(service))),
            mysql: of(self.mysql),
            redis: of(self.redis),
            generator: self.service.map_or(f64::NAN, |_| this - simulator),
            simulator,
        }
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            service: self.service - before.service,
            mysql: self.mysql - before.mysql,
            redis: self.redis - before.redis,
            generator: self.generator - before.generator,
            simulator: self.simulator - before.simulator,
        }
    }
}

async fn mysql(database: &MySqlConnectOptions) -> Option<u32> {
    let mut conn = database.clone().connect().await.ok()?;
    let row = sqlx::query("SELECT @@datadir, @@pid_file").fetch_one(&mut conn);
    let row = row.await.ok()?;
    let (folder, file): (String, String) = (row.try_get(0).ok()?, row.try_get(1).ok()?);
    let text = fs::read_to_string(Path::new(&folder).join(file)).ok()?;
    text.trim().parse().ok()
}

async fn redis() -> Option<u32> {
    let url = std::env::var("REDIS_URL").ok()?;
    let client = redis::Client::open(url).ok()?;
    let mut connection = client.get_multiplexed_async_connection().await.ok()?;
    let mut command = redis::cmd("INFO");
    let answer = command.arg("server").query_async(&mut connection).await;
    let text: String = answer.ok()?;
    let number = text
        .lines()
        .find_map(|line| line.strip_prefix("process_id:"));
    number?.trim().parse().ok()
}

/// Of this process's threads with a name: they live as long as their runtime.
fn threads(name: &str) -> f64 {
    let Ok(all) = fs::read_dir("/proc/self/task") else {
        return f64::NAN;
    };
    let of = |thread: &Path| {
        let called = fs::read_to_string(thread.join("comm")).ok()?;
        let is_one = called.trim_end() == name;
        is_one.then(|| used(thread.join("stat").to_str()?))?
    };
    all.filter_map(|thread| of(&thread.ok()?.path())).sum()
}

/// `utime` and `stime`, the twelfth and thirteenth word behind the name, which may hold anything.
fn used(file: &str) -> Option<f64> {
    let text = fs::read_to_string(file).ok()?;
    let (_, words) = text.rsplit_once(')')?;
    let mut words = words.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((user + system) * TICK_US)
}
