//! The service as a process of its own, which can be killed.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU16, Ordering},
    },
};

use wechat_pay_simulator::ENV_PREFIX;
use zhangfang::{db::DbOptions, tenants::Tenant};

use super::{
    JWT_SECRET, Scratch, Site, db_of, dev, eventually, folder::fresh_path, redis_url,
    servers::try_dev,
};

/// The service as a process of its own.
pub(crate) struct Service {
    pub(crate) process: Child,
}

impl Service {
    pub(crate) fn start(environment: &[(String, String)]) -> Self {
        Self::start_logging(environment, Stdio::null())
    }

    /// With its log where the test can read it.
    pub(crate) fn start_logging(environment: &[(String, String)], log: Stdio) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_zhangfang"))
            .arg("serve")
            .env_clear()
            .envs(environment.iter().cloned())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { process }
    }

    /// With so few files that it may open.
    pub(crate) fn start_with_files(environment: &[(String, String)], files: u32) -> Self {
        let process = Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -n {files} && exec \"$0\" serve"))
            .arg(env!("CARGO_BIN_EXE_zhangfang"))
            .env_clear()
            .envs(environment.iter().cloned())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process }
    }

    /// SIGKILL: not even a buffer is flushed.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A database server of this test alone, which is stopped whatever happens.
pub(crate) struct Server {
    pub(crate) dir: String,
}

impl Server {
    /// In a folder of its own, which is there once the server was started.
    pub(crate) fn in_folder(name: &str) -> Self {
        Self {
            dir: fresh_path(name).to_str().unwrap().to_owned(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = try_dev(&["server", "kill", &self.dir]);
        } else {
            dev(&["server", "stop", &self.dir]);
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The tenant, made before the service is there.
pub(crate) async fn demo_tenant(scratch: &Scratch) -> Tenant {
    let db = db_of(DbOptions::new(scratch.service.clone())).await;
    let tenant = zhangfang::points::create_tenant(&db, "demo", "演示平台")
        .await
        .unwrap();
    db.close().await;
    tenant
}

/// An address for a service that is about to start. Its port is below those that the system gives
/// to whoever asks for any, so that nobody takes it before the service does.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let next = NEXT.get_or_init(|| {
        let first = 21_000 + std::process::id() % 10_000;
        AtomicU16::new(u16::try_from(first).unwrap())
    });
    loop {
        let port = next.fetch_add(1, Ordering::Relaxed);
        if let Ok(listener) = std::net::TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().unwrap();
        }
    }
}

pub(crate) fn per_mille(value: u16) -> wechat_pay_simulator::PerMille {
    wechat_pay_simulator::PerMille::try_from(value).unwrap()
}

pub(crate) async fn ready(site: &Site) {
    eventually("the service is ready", || async {
        let answer = site.anyone().try_get("/readyz").await?;
        (answer.status == 200).then_some(())
    })
    .await;
}

pub(crate) fn environment(
    scratch: &Scratch,
    env_file: &std::path::Path,
    listen: &str,
) -> Vec<(String, String)> {
    let wechat = std::fs::read_to_string(env_file).unwrap();
    let mut environment: Vec<(String, String)> = wechat
        .lines()
        .filter_map(|line| line.strip_prefix(ENV_PREFIX)?.split_once('='))
        .map(|(name, value)| (format!("ZHANGFANG_WECHAT__{name}"), value.to_owned()))
        .collect();
    let ours = [
        ("DATABASE_URL", scratch.service_url()),
        ("REDIS_URL", redis_url()),
        ("ZHANGFANG_HTTP__LISTEN", listen.to_owned()),
        ("ZHANGFANG_AUTH__JWT_SECRET", JWT_SECRET.to_owned()),
        ("ZHANGFANG_LIMITS__ENABLED", "false".to_owned()),
        ("ZHANGFANG_RISK__ENABLED", "false".to_owned()),
    ];
    environment.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    environment
}
