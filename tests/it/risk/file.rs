//! The file of rules, edited while two processes run by it.
//!
//! The services are processes of their own, so that their logs and metrics are what an operator
//! reads.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use wechat_pay_simulator::{Simulator, SimulatorSettings};
use zhangfang::{risk::find_rule_set, tenants::Tenant};

use super::at_most;
use crate::harness::{
    Folder, Scratch, Server, Service, Site, demo_tenant, dev, environment, eventually,
    free_address, ready,
};

/// A process and where to find it.
struct Process {
    site: Site,
    log: PathBuf,
    _service: Service,
}

/// What the processes stand on.
struct Ground {
    dir: Folder,
    scratch: Scratch,
    tenant: Tenant,
    simulator: Simulator,
}

impl Ground {
    async fn lay(name: &str) -> Self {
        let dir = Folder::new(name);
        let scratch = Scratch::make().await;
        let tenant = demo_tenant(&scratch).await;
        let settings = SimulatorSettings {
            dir: Some(dir.join("wechat")),
            notify_base: Some("http://127.0.0.1:9".parse().unwrap()),
            ..SimulatorSettings::default()
        };
        Self {
            simulator: Simulator::start(settings).await.unwrap(),
            dir,
            scratch,
            tenant,
        }
    }

    fn environment(&self, listen: &str, rules: &Path) -> Vec<(String, String)> {
        let mut all = environment(&self.scratch, &self.dir.join("wechat/wechat.env"), listen);
        all.extend(
            [
                ("ZHANGFANG_RISK__ENABLED", "true"),
                ("ZHANGFANG_RISK__RULES", rules.to_str().unwrap()),
                ("ZHANGFANG_LOG__FORMAT", "json"),
                (
                    "ZHANGFANG_LOG__FILTER",
                    "warn,zhangfang::cache::availability=info",
                ),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        all
    }

    async fn process(&self, name: &str, rules: &Path, more: &[(&str, &str)]) -> Process {
        let address = free_address();
        let mut environment = self.environment(&address.to_string(), rules);
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        environment.extend(more.iter().map(owned));
        let log = self.dir.join(format!("{name}.log"));
        let file = std::fs::File::create(&log).unwrap();
        let service = Service::start_logging(&environment, Stdio::from(file));
        let site = Site::new(&format!("http://{address}"), self.tenant.id);
        ready(&site).await;
        Process {
            site,
            log,
            _service: service,
        }
    }

    async fn end(self) {
        self.simulator.stop().await;
        self.scratch.drop().await;
    }
}

impl Process {
    async fn rules(&self) -> Value {
        let answer = self.site.admin().get("/api/v1/admin/risk/rules").await;
        answer.expect(200)
    }

    async fn number(&self) -> u64 {
        self.rules().await["rule_set"].as_u64().unwrap()
    }

    /// The value of a metric, without labels.
    async fn metric(&self, name: &str) -> Option<String> {
        let answer = self.site.anyone().get("/metrics").await;
        let text = String::from_utf8(answer.bytes).unwrap();
        let start = format!("{name} ");
        let line = text.lines().find(|line| line.starts_with(&start))?;
        Some(line.split(' ').next_back()?.to_owned())
    }

    fn lines(&self, what: &str) -> usize {
        let log = std::fs::read_to_string(&self.log).unwrap();
        log.lines().filter(|line| line.contains(what)).count()
    }
}

/// Waits until the process is by this number; how long that took.
async fn in_force(process: &Process, number: u64) {
    eventually("the rules are in force", || async {
        (process.number().await == number).then_some(())
    })
    .await;
    let said = process.metric("risk_rule_set").await.unwrap();
    assert_eq!(said, number.to_string());
}

const RELOAD: &str = "/api/v1/admin/risk/rules/reload";

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_file_is_in_force_everywhere_in_a_moment_and_a_broken_one_nowhere() {
    let ground = Ground::lay("risk-file").await;
    let rules = ground.dir.join("rules.yaml");
    let (first, second) = (at_most(10, "1m"), at_most(3, "1m"));
    std::fs::write(&rules, &first).unwrap();
    // The other process has a copy, as on another machine.
    let copy = ground.dir.join("copy.yaml");
    std::fs::write(&copy, &first).unwrap();
    let one = ground.process("one", &rules, &[]).await;
    let two = ground.process("two", &copy, &[]).await;
    let number = one.number().await;
    assert_eq!(two.number().await, number, "one text, one number");

    // Written anew.
    std::fs::write(&rules, &second).unwrap();
    std::fs::write(&copy, &second).unwrap();
    in_force(&one, number + 1).await;
    in_force(&two, number + 1).await;
    let shown = one.rules().await;
    assert_eq!(shown["rules"][0]["id"], "many-payments");

    // Broken: told once, with its place, and everything stays.
    let broken = second.replace("action: block", "action: explode");
    std::fs::write(&rules, &broken).unwrap();
    eventually("it is refused", || async {
        (one.metric("risk_rules_rejected_total").await? == "1").then_some(())
    })
    .await;
    assert_eq!(one.number().await, number + 1);
    let answer = one.site.admin().post(RELOAD, &json!({})).await;
    answer.refused(422, "risk_rules_invalid");
    let mistakes = answer.expect(422)["mistakes"].clone();
    assert_eq!(mistakes[0]["line"], 5, "{mistakes}");
    assert!(mistakes[0]["column"].as_u64().unwrap() > 1, "{mistakes}");
    assert!(mistakes[0]["what"].is_string());
    let refused = one.lines("the risk rules have mistakes");
    assert_eq!(refused, 2, "by the watcher once, by hand once");
    assert_eq!(one.lines("5:"), 2, "with the place");
    assert_eq!(two.lines("ERROR"), 0);

    // Gone: the same.
    std::fs::remove_file(&rules).unwrap();
    let answer = one.site.admin().post(RELOAD, &json!({})).await;
    answer.refused(422, "risk_rules_unreadable");
    assert_eq!(one.number().await, number + 1);

    // What was in force before has its number again; replaced by renaming, as editors do; at once,
    // by hand.
    let aside = ground.dir.join("rules.new");
    std::fs::write(&aside, &first).unwrap();
    std::fs::rename(&aside, &rules).unwrap();
    let answer = one.site.admin().post(RELOAD, &json!({})).await.expect(200);
    // The watcher may have been faster.
    assert_eq!(answer["rule_set"], number);
    assert_eq!(one.number().await, number);
    assert_eq!(two.number().await, number + 1, "its copy was not changed");
    let sets = one.site.admin().get("/api/v1/admin/risk/rule-sets").await;
    let sets = sets.expect(200);
    let numbers: Vec<_> = sets["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|set| set["number"].as_u64().unwrap())
        .collect();
    assert_eq!(
        numbers,
        [number + 1, number],
        "no number is used up in vain"
    );

    // For making a decision again.
    let mut conn = ground.scratch.service.clone().connect().await.unwrap();
    let stored = u32::try_from(number).unwrap();
    let set = find_rule_set(&mut conn, stored).await.unwrap().unwrap();
    assert_eq!(set.text(), first);
    assert!(
        find_rule_set(&mut conn, stored + 5)
            .await
            .unwrap()
            .is_none()
    );
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_that_start_at_once_agree_on_the_number() {
    let scratch = Scratch::make().await;
    let db = crate::harness::db_of(zhangfang::db::DbOptions::new(scratch.service.clone())).await;
    let cache = super::cache(&crate::harness::redis_url()).await;
    for above in 1..8 {
        let rules = at_most(above, "1h");
        let all = (0..8).map(|_| async {
            let patience = Duration::from_millis(20);
            let risk =
                zhangfang::risk::Risk::with_rules(&rules, patience, db.clone(), &cache).await;
            risk.unwrap().in_force().unwrap().number
        });
        let numbers = futures_util::future::join_all(all).await;
        let all_same = numbers.iter().all(|number| *number == numbers[0]);
        assert!(all_same, "{numbers:?}");
    }
    db.close().await;
    scratch.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_does_not_start_without_sound_rules_and_says_why() {
    let ground = Ground::lay("risk-start").await;
    let rules = ground.dir.join("rules.yaml");
    let start = || {
        let environment = ground.environment(&free_address().to_string(), &rules);
        let ended = Command::new(env!("CARGO_BIN_EXE_zhangfang"))
            .arg("serve")
            .env_clear()
            .envs(environment)
            .output()
            .unwrap();
        assert!(!ended.status.success());
        String::from_utf8_lossy(&ended.stderr).into_owned()
    };
    let said = tokio::task::block_in_place(start);
    assert!(
        said.contains("ZHANGFANG_RISK__RULES") && said.contains("rules.yaml"),
        "{said}"
    );
    let broken = at_most(10, "1m").replace("priority: 1", "priority: soon");
    std::fs::write(&rules, broken).unwrap();
    let said = tokio::task::block_in_place(start);
    assert!(
        said.contains("ZHANGFANG_RISK__RULES") && said.contains("6:"),
        "{said}"
    );
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_broken_over_a_restart_leaves_the_last_rules_in_force() {
    let ground = Ground::lay("risk-restart").await;
    let rules = ground.dir.join("rules.yaml");
    let (first, second) = (at_most(10, "1m"), at_most(20, "1m"));
    // The first is in force again, and so last, though its number is the lower one.
    let mut numbers = Vec::new();
    for (name, text) in [("one", &first), ("two", &second), ("three", &first)] {
        std::fs::write(&rules, text).unwrap();
        let process = ground.process(name, &rules, &[]).await;
        numbers.push(process.number().await);
    }
    assert_eq!(numbers, [1, 2, 1]);
    let broken = first.replace("action: block", "action: cu_secret_of_somebody");
    std::fs::write(&rules, broken).unwrap();
    let process = ground.process("four", &rules, &[]).await;
    assert_eq!(process.number().await, 1);
    assert_eq!(process.lines("the risk rules have mistakes"), 1);
    assert_eq!(process.lines("cu_secret"), 0, "a log is no place for it");
    let rejected = process.metric("risk_rules_rejected_total").await;
    assert_eq!(rejected.as_deref(), Some("1"));
    // It goes on watching.
    std::fs::write(&rules, &second).unwrap();
    eventually("the mended file is in force", || async {
        (process.number().await == 2).then_some(())
    })
    .await;
    drop(process);
    // A file that is gone is no better than a broken one.
    std::fs::remove_file(&rules).unwrap();
    let process = ground.process("five", &rules, &[]).await;
    assert_eq!(process.number().await, 2);
    drop(process);
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn risk_alone_logs_once_that_redis_is_away_and_once_that_it_is_back() {
    let ground = Ground::lay("risk-alarm").await;
    let redis = Server {
        dir: ground.dir.join("redis").to_str().unwrap().to_owned(),
    };
    let start = || {
        let said = dev(&["server", "start", "redis", &redis.dir]);
        said.trim().lines().last().unwrap().to_owned()
    };
    let url = tokio::task::block_in_place(start);
    let rules = ground.dir.join("rules.yaml");
    std::fs::write(&rules, at_most(10, "1m")).unwrap();
    // Limits are off, so the alarm is risk's.
    let process = ground
        .process("alone", &rules, &[("REDIS_URL", &url)])
        .await;
    tokio::task::block_in_place(|| dev(&["server", "kill", &redis.dir]));
    eventually("the absence is told", || async {
        (process.lines("Redis is away") == 1).then_some(())
    })
    .await;
    tokio::task::block_in_place(start);
    eventually("the return is told", || async {
        (process.lines("Redis is back") == 1).then_some(())
    })
    .await;
    assert_eq!(process.lines("ERROR"), 1);
    assert_eq!(process.lines("Redis is away"), 1);
    drop(process);
    drop(redis);
    ground.end().await;
}
