//! Redis of many servers, started for one test.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use super::{Folder, eventually};

/// Servers without `./dev`, for what it does not start.
pub(crate) struct Servers {
    commands: Vec<Command>,
    running: Vec<Child>,
    dir: Folder,
}

impl Servers {
    /// None, with a line that says so, where there is no `redis-server` on the path.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let version = Command::new("redis-server").arg("--version").output();
        if version.is_err() {
            eprintln!("skipped: no redis-server on the path");
            return None;
        }
        Some(Self {
            commands: Vec::new(),
            running: Vec::new(),
            dir: Folder::new(name),
        })
    }

    /// Its port.
    fn start(&mut self, arguments: &[&str]) -> u16 {
        // A cluster's bus listens on the port and ten thousand.
        let port = loop {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            if port < 55_000 {
                break port;
            }
        };
        let dir = self.dir.join(port.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        // A sentinel saves nothing and does not know the word.
        let is_sentinel = arguments.contains(&"--sentinel");
        let settings = if is_sentinel { "" } else { "save \"\"\n" };
        std::fs::write(dir.join("redis.conf"), settings).unwrap();
        let mut command = Command::new("redis-server");
        command
            .arg(dir.join("redis.conf"))
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--dir", dir.to_str().unwrap()])
            .args(arguments)
            .stdout(Stdio::null());
        self.running.push(command.spawn().unwrap());
        self.commands.push(command);
        port
    }

    pub(crate) fn again(&mut self, number: usize) {
        self.running[number] = self.commands[number].spawn().unwrap();
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, number: usize) {
        self.running[number].kill().unwrap();
        self.running[number].wait().unwrap();
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for process in &mut self.running {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

pub(crate) async fn ask(port: u16, words: &[String]) -> Option<String> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.ok()?;
    let mut command = redis::cmd(&words[0]);
    command.arg(&words[1..]);
    let answer: redis::Value = command.query_async(&mut connection).await.ok()?;
    Some(redis::from_redis_value::<String>(answer).unwrap_or_default())
}

async fn must(port: u16, words: &str) {
    let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
    eventually(&format!("{words:?}"), || ask(port, &words)).await;
}

/// Three masters that know each other, in this order: their ports and the address. None where there
/// is no Redis to start.
pub(crate) async fn cluster(name: &str) -> Option<(Servers, Vec<u16>, String)> {
    let mut servers = Servers::new(name)?;
    let ports: Vec<_> = (0..3)
        .map(|_| servers.start(&["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"]))
        .collect();
    for (port, slots) in ports.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
        must(*port, &format!("CLUSTER ADDSLOTSRANGE {slots}")).await;
    }
    for port in &ports[1..] {
        must(ports[0], &format!("CLUSTER MEET 127.0.0.1 {port}")).await;
    }
    let info: Vec<_> = ["CLUSTER", "INFO"].map(str::to_owned).into();
    for port in &ports {
        eventually("the cluster is whole", || async {
            let said = ask(*port, &info).await?;
            let whole = said.contains("cluster_state:ok") && said.contains("cluster_known_nodes:3");
            whole.then_some(())
        })
        .await;
    }
    let url = format!(
        "redis+cluster://127.0.0.1:{},127.0.0.1:{}",
        ports[0], ports[1]
    );
    Some((servers, ports, url))
}

/// Waits until the replica has everything that its master has written until now: replication is a
/// promise for later.
pub(crate) async fn replicated(replica: u16) {
    let replication: Vec<_> = ["INFO", "replication"].map(str::to_owned).into();
    let number = |said: &str, name: &str| -> Option<u64> {
        let line = said.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    };
    let said = ask(replica, &replication).await.unwrap();
    let master = number(&said, "master_port:").unwrap();
    let said = ask(master.try_into().unwrap(), &replication).await.unwrap();
    let written = number(&said, "master_repl_offset:").unwrap();
    eventually("the replica has everything", || async {
        let said = ask(replica, &replication).await?;
        (number(&said, "slave_repl_offset:")? >= written).then_some(())
    })
    .await;
}

/// A master, its replica and a sentinel, in this order: the address, and the replica's port. None
/// where there is no Redis to start.
pub(crate) async fn sentinels(name: &str) -> Option<(Servers, u16, String)> {
    let mut servers = Servers::new(name)?;
    let master = servers.start(&[]);
    must(master, "PING").await;
    let master_text = master.to_string();
    let replica = servers.start(&[
        "--replicaof",
        "127.0.0.1",
        &master_text,
        "--repl-diskless-sync-delay",
        "0",
    ]);
    let sentinel = servers.start(&["--sentinel"]);
    for words in [
        format!("SENTINEL MONITOR mymaster 127.0.0.1 {master} 1"),
        "SENTINEL SET mymaster down-after-milliseconds 500".to_owned(),
        "SENTINEL SET mymaster failover-timeout 3000".to_owned(),
    ] {
        must(sentinel, &words).await;
    }
    let replication: Vec<_> = ["INFO", "replication"].map(str::to_owned).into();
    eventually("the replica has caught up", || async {
        let said = ask(replica, &replication).await?;
        said.contains("master_link_status:up").then_some(())
    })
    .await;
    let replicas: Vec<_> = ["INFO", "sentinel"].map(str::to_owned).into();
    eventually("the sentinel knows the replica", || async {
        let said = ask(sentinel, &replicas).await?;
        said.contains("slaves=1").then_some(())
    })
    .await;

    let url = format!("redis+sentinel://127.0.0.1:{sentinel}/mymaster");
    Some((servers, replica, url))
}
