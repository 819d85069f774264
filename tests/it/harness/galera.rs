//! Two nodes of Galera, where MariaDB and its provider are to be had.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use sqlx::{ConnectOptions as _, mysql::MySqlConnectOptions};

use super::{Folder, Server, dev, eventually_within, free_address};

/// A cluster of two nodes on this machine, which ends with the test.
pub(crate) struct Galera {
    nodes: Vec<Child>,
    pub(crate) roots: [MySqlConnectOptions; 2],
    _dir: Folder,
}

impl Drop for Galera {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

/// The newest folder of the downloads that begins so.
fn unpacked(name: &str) -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests have no settings of their own"
    )]
    let cache = std::env::var("XDG_CACHE_HOME")
        .or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cache")))
        .ok()?;
    let all = std::fs::read_dir(Path::new(&cache).join("zhangfang")).ok()?;
    all.filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let found = path.file_name().unwrap_or_default().to_string_lossy();
            found.starts_with(name)
        })
        .max()
}

/// The server and the provider, where both are installed or unpacked.
fn programs() -> Option<(PathBuf, PathBuf)> {
    let program = ["/usr/sbin/mariadbd", "/usr/local/sbin/mariadbd"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists())
        .or_else(|| Some(unpacked("mariadb-")?.join("bin/mariadb")))?;
    let library = "usr/lib/galera/libgalera_smm.so";
    let provider = [
        Some(PathBuf::from("/").join(library)),
        unpacked("mariadb-").map(|home| home.join(library)),
    ];
    let provider = provider.into_iter().flatten().find(|path| path.exists())?;
    Some((program, provider))
}

impl Galera {
    /// None, having said so, where it cannot be had.
    pub(crate) async fn start() -> Option<Self> {
        let Some((program, provider)) = programs() else {
            #[expect(clippy::print_stderr, reason = "a test that did not run says so")]
            {
                eprintln!("SKIPPED: MariaDB with the provider of galera-4 is not here");
            }
            return None;
        };
        let folder = Folder::new("galera");
        let dir = folder.to_path_buf();
        // One server makes the data with its accounts; both nodes begin with a copy, so that
        // nothing need be transferred.
        let seed = Server {
            dir: dir.join("seed").to_str().unwrap().to_owned(),
        };
        dev(&["server", "start", "mariadb", &seed.dir]);
        dev(&["server", "stop", &seed.dir]);
        let ports = [free_address().port(), free_address().port()];
        let address = format!("gcomm://127.0.0.1:{},127.0.0.1:{}", ports[0], ports[1]);
        let socket = |node: usize| dir.join(format!("{node}.sock"));
        let root = |node: usize| {
            MySqlConnectOptions::new()
                .socket(socket(node))
                .username("root")
        };
        let mut cluster = Self {
            nodes: Vec::new(),
            roots: [root(0), root(1)],
            _dir: folder,
        };
        for (node, port) in ports.into_iter().enumerate() {
            let data = dir.join(format!("data{node}"));
            copy(&Path::new(&seed.dir).join("data"), &data);
            let log = std::fs::File::create(dir.join(format!("{node}.log"))).unwrap();
            let mut starting = Command::new(&program);
            if program.ends_with("mariadbd") {
                starting.arg("--no-defaults");
            }
            starting
                .arg(format!("--datadir={}", data.display()))
                .arg(format!("--socket={}", socket(node).display()))
                .arg(format!("--pid-file={}", data.join("pid").display()))
                .args([
                    "--user=root",
                    "--skip-networking",
                    "--character-set-server=utf8mb4",
                    "--default-time-zone=+00:00",
                    "--binlog-format=ROW",
                    "--innodb-autoinc-lock-mode=2",
                    "--max-allowed-packet=64M",
                    "--wsrep-on=ON",
                    "--wsrep-sst-method=skip",
                    "--wsrep-cluster-name=test",
                ])
                .arg(format!("--wsrep-provider={}", provider.display()))
                .arg(format!("--wsrep-cluster-address={address}"))
                .arg(format!("--wsrep-node-name=node{node}"))
                .arg(format!("--wsrep-node-address=127.0.0.1:{port}"))
                .arg(format!(
                    "--wsrep-provider-options=base_port={port};gmcast.listen_addr=tcp://127.0.0.1:{port}"
                ))
                .args((node == 0).then_some("--wsrep-new-cluster"))
                .current_dir(&data)
                .stdout(Stdio::null())
                .stderr(log);
            cluster.nodes.push(starting.spawn().unwrap());
            let options = cluster.roots[node].clone();
            eventually_within(60, "a node of Galera is synced", || async {
                let mut conn = options.connect().await.ok()?;
                let (_, state): (String, String) =
                    sqlx::query_as("SHOW STATUS LIKE 'wsrep_local_state_comment'")
                        .fetch_one(&mut conn)
                        .await
                        .ok()?;
                (state == "Synced").then_some(())
            })
            .await;
        }
        Some(cluster)
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}
