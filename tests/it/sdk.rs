//! SDKs that nobody here wrote, against the simulator.

use std::{path::Path, process::Command};

use zhangfang::simulator::{Simulator, SimulatorSettings};

/// `PyPI` `wechatpayv3` does prepay, query, close, certificates and callbacks. Skipped, and said so, where Python or the package is not there.
#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_accepts_the_simulator() {
    let dir = std::env::temp_dir().join(format!("zhangfang-sdk-{:016x}", rand::random::<u64>()));
    let simulator = Simulator::start(SimulatorSettings {
        dir: Some(dir.clone()),
        notify_base: Some("http://127.0.0.1:9".parse().unwrap()),
        resend_compression: 100,
        ..SimulatorSettings::default()
    })
    .await
    .unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/wechatpayv3_peer.py");
    let env_file = dir.join("wechat.env");
    let run = tokio::task::spawn_blocking(move || {
        Command::new("python3")
            .arg("-B")
            .arg(script)
            .env("SIMULATOR_ENV_FILE", env_file)
            .output()
    });
    match run.await.unwrap() {
        Ok(output) if output.status.code() == Some(77) => {
            skipped("the package wechatpayv3 is not installed");
        }
        Ok(output) => assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(_) => skipped("python3 is not installed"),
    }
    simulator.stop().await;
    std::fs::remove_dir_all(dir).unwrap();
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}
