//! What each party uses of the processors, from `/proc`: throughput alone does not tell who pays
//! for what on a machine that all of them share.

use std::{fs, ops::Sub, path::Path};

use sqlx::{ConnectOptions as _, Row as _, mysql::MySqlConnectOptions};

/// Linux tells processor time in hundredths of a second.
const TICK_US: f64 = 10_000.0;

/// Processor time in microseconds, of the machine's own clock ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    pub(crate) service: f64,
    pub(crate) mysql: f64,
    pub(crate) redis: f64,
}

/// Whose processor time is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parties {
    service: u32,
    mysql: Option<u32>,
    redis: Option<u32>,
}

impl Parties {
    /// The servers may be on another machine; then nothing is told of them.
    pub(crate) async fn find(service: u32, database: &MySqlConnectOptions) -> Self {
        Self {
            service,
            mysql: mysql(database).await,
            redis: redis().await,
        }
    }

    pub(crate) fn used(&self) -> Cpu {
        let of = |process: Option<u32>| process.and_then(used).unwrap_or(f64::NAN);
        Cpu {
            service: of(Some(self.service)),
            mysql: of(self.mysql),
            redis: of(self.redis),
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

/// `utime` and `stime`, the twelfth and thirteenth word behind the name, which may hold anything.
fn used(process: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, words) = text.rsplit_once(')')?;
    let mut words = words.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((user + system) * TICK_US)
}
