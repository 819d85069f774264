//! SDKs that nobody here wrote, against the simulator.
//!
//! They are run where they are installed, and skipped, which is said, where they are not:
//!
//! | variable | what | unless set |
//! |---|---|---|
//! | `SDK_PYTHON` | a Python that has `wechatpayv3` | `python3` on the path |
//! | `SDK_NODE` | Node | `node` on the path |
//! | `NODE_PATH` | the `node_modules` with `wechatpay-axios-plugin` | wherever Node looks by itself |

use std::{path::Path, process::Command};

use wechat_pay_simulator::{Simulator, SimulatorSettings};

use crate::harness::Folder;

/// What a peer exits with when its package is not installed.
const NOT_INSTALLED: i32 = 77;

/// `PyPI` `wechatpayv3`: prepay, query, close, refund, profit sharing, certificates, bills,
/// callbacks.
#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_accepts_the_simulator() {
    let python = named("SDK_PYTHON", "python3");
    judge(&[&python, "-B"], "wechatpayv3_peer.py").await;
}

/// npm `wechatpay-axios-plugin`: prepay, query, close, refund, certificates, bills, callbacks.
#[tokio::test(flavor = "multi_thread")]
async fn the_node_sdk_accepts_the_simulator() {
    let node = named("SDK_NODE", "node");
    judge(&[&node], "axios_plugin_peer.js").await;
}

/// The interpreter that a variable names, or the usual one.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no settings of their own"
)]
fn named(variable: &str, usual: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| usual.to_owned())
}

/// Runs a peer against a simulator of its own.
async fn judge(command: &[&str], script: &str) {
    let folder = Folder::new("sdk");
    let simulator = Simulator::start(SimulatorSettings {
        dir: Some(folder.to_path_buf()),
        notify_base: Some("http://127.0.0.1:9".parse().unwrap()),
        resend_compression: 100,
        ..SimulatorSettings::default()
    })
    .await
    .unwrap();
    let mut peer = Command::new(command[0]);
    peer.args(&command[1..])
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/sdk")
                .join(script),
        )
        .env("SIMULATOR_ENV_FILE", folder.join("wechat.env"));
    let run = tokio::task::spawn_blocking(move || peer.output());
    match run.await.unwrap() {
        Ok(output) if output.status.code() == Some(NOT_INSTALLED) => {
            skipped(&format!("{script}: the package is not installed"));
        }
        Ok(output) => assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => skipped(&format!("{script}: {} does not start: {error}", command[0])),
    }
    simulator.stop().await;
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}
