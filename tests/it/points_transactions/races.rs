//! Concurrent and repeated commands, processes killed half-way: each points transaction is done
//! once, and the books agree with a small model.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::future::join_all;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use wechat_pay_simulator::{Simulator, SimulatorSettings};
use zhangfang::{db::DbOptions, jobs, points, primitives::PointsTransactionId, verify};

use super::{Counter, back_end, id_of};
use crate::harness::{
    Caller, Folder, Scratch, Service, Site, TestApp, db_of, demo_tenant, environment, eventually,
    free_address, ready, redis_url,
};

/// The back end at a second process.
async fn beside(counter: &Counter) -> Caller {
    let site = counter.app.second_process(&redis_url(), |_| {}).await;
    back_end(&site, counter.app.tenant.id, "merchant-crm")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_reference_at_two_processes_at_once_is_one_points_transaction() {
    let counter = Counter::open().await;
    let other = beside(&counter).await;
    for round in 0..5 {
        let body = counter.body(7, &format!("r{round}"));
        let asking = (0..12).map(|index| {
            let crm = if index % 2 == 0 { &counter.crm } else { &other };
            crm.post("/api/v1/open/points/awards", &body)
        });
        let answers = join_all(asking).await;
        let made = answers.iter().filter(|answer| answer.status == 201).count();
        let same = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!((made, same), (1, 11));
    }
    assert_eq!(counter.balance().await, [35, 0, 0, 35, 0]);
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn points_are_not_spent_twice_by_two_processes() {
    let counter = Counter::open().await;
    let other = beside(&counter).await;
    counter.award(100, "a").await;
    let asking = (0..18).map(|index| {
        let crm = if index % 2 == 0 { &counter.crm } else { &other };
        let what = ["redemptions", "deductions", "holds"][index % 3];
        let body = counter.body(10, &format!("r{index}"));
        async move {
            crm.post(&format!("/api/v1/open/points/{what}"), &body)
                .await
        }
    });
    let answers = join_all(asking).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 10);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        refused.refused(409, "points_insufficient");
    }
    let [.., available, _] = counter.balance().await;
    assert_eq!(available, 0);
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_capture_release_and_time_out_exactly_one_wins() {
    let counter = Counter::at(TestApp::without_jobs().await).await;
    let other = beside(&counter).await;
    let db = counter.app.another_db().await;
    counter.award(1_000, "a").await;
    let tenant = counter.app.tenant.id;
    let mut wins = HashMap::<&str, i64>::new();
    for round in 0..16 {
        let hold = counter.hold(10, &format!("h{round}")).await;
        let path = |what| format!("/api/v1/open/points/holds/{hold}/{what}");
        let (capture, release) = (path("capture"), path("release"));
        let (nothing, four) = (json!({}), json!({ "points": 4 }));
        // Half of them have timed out: these can be released or time out, and no longer be
        // captured.
        let is_over = round % 2 == 1;
        if is_over {
            counter.age(hold).await;
        }
        let (captured, part, released, timed_out) = tokio::join!(
            counter.crm.post(&capture, &nothing),
            other.post(&capture, &four),
            other.post(&release, &nothing),
            points::time_out(&db, tenant, hold),
        );
        let won = [
            ("captured", captured.status == 200),
            ("part", part.status == 200),
            ("released", released.status == 200),
            ("expired", timed_out.unwrap()),
        ];
        let winners: Vec<_> = won
            .iter()
            .filter(|(_, won)| *won)
            .map(|(who, _)| *who)
            .collect();
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        *wins.entry(winners[0]).or_default() += 1;
        for lost in [captured, part, released]
            .iter()
            .filter(|answer| answer.status != 200)
        {
            lost.refused(409, "points_transaction_state_conflict");
        }
        let may_win: &[&str] = if is_over {
            &["released", "expired"]
        } else {
            &["captured", "part", "released"]
        };
        assert!(may_win.contains(&winners[0]), "round {round}: {winners:?}");
    }
    let of = |who| wins.get(who).copied().unwrap_or(0);
    let left = 1_000 - 10 * of("captured") - 4 * of("part");
    assert_eq!(counter.balance().await, [left, 0, 0, left, 0]);
    db.close().await;
    counter.app.finish().await;
}

/// What a customer must have, by the simplest of books.
#[derive(Debug, Default, PartialEq, Eq)]
struct Model {
    posted: i64,
    held: i64,
    holds: Vec<(PointsTransactionId, i64)>,
}

#[tokio::test(flavor = "multi_thread")]
async fn random_histories_end_where_a_small_model_ends() {
    let seed: u64 = rand::random();
    let mut rng = StdRng::seed_from_u64(seed);
    let counter = Counter::at(TestApp::without_jobs().await).await;
    let mut model = Model::default();
    for step in 0..150 {
        let (points, reference) = (rng.random_range(1..60), format!("s{step}"));
        let free = model.posted - model.held;
        let what =
            ["awards", "deductions", "redemptions", "holds", "end", "end"][rng.random_range(0..6)];
        if what == "end" {
            if model.holds.is_empty() {
                continue;
            }
            let index = rng.random_range(0..model.holds.len());
            let (transaction, held) = model.holds.swap_remove(index);
            model.held -= held;
            match rng.random_range(0..4) {
                0 => {
                    counter.capture(transaction, &json!({})).await.expect(200);
                    model.posted -= held;
                }
                1 => {
                    let part = rng.random_range(1..=held);
                    counter
                        .capture(transaction, &json!({ "points": part }))
                        .await
                        .expect(200);
                    model.posted -= part;
                }
                2 => _ = counter.release(transaction).await.expect(200),
                _ => {
                    counter.age(transaction).await;
                    jobs::holds_round(counter.app.db()).await.unwrap();
                }
            }
        } else {
            let answer = counter.ask(what, points, &reference).await;
            let fits = what == "awards" || points <= free;
            assert_eq!(
                answer.status,
                if fits { 201 } else { 409 },
                "seed {seed}, step {step}"
            );
            if fits {
                match what {
                    "awards" => model.posted += points,
                    "holds" => {
                        let transaction = answer.expect(201);
                        let transaction = transaction["id"].as_str().unwrap().parse().unwrap();
                        model.held += points;
                        model.holds.push((transaction, points));
                    }
                    _ => model.posted -= points,
                }
                let again = counter.ask(what, points, &reference).await;
                assert_eq!(again.status, 200, "seed {seed}, step {step}");
            }
        }
        let free = model.posted - model.held;
        assert_eq!(
            counter.balance().await,
            [model.posted, 0, model.held, free, 0],
            "seed {seed}, step {step}: {what}"
        );
    }
    counter.app.finish().await;
}

const TRANSACTIONS: usize = 240;

/// Asks until somebody answers; whoever gets no answer asks again with the same reference.
async fn insist(caller: &Caller, path: &str, body: &Value) -> Value {
    eventually("an answer", || async {
        let answer = caller.try_post(path, body).await?;
        let text = String::from_utf8_lossy(&answer.bytes).into_owned();
        if answer.status >= 500 {
            return None;
        }
        assert!(answer.status < 300, "{path}: {text}");
        Some(serde_json::from_slice(&answer.bytes).unwrap())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_half_way_every_points_transaction_is_done_once() {
    let scratch = Scratch::make().await;
    let tenant = demo_tenant(&scratch).await;
    let address = free_address();
    let base = format!("http://{address}");
    let folder = Folder::new("points-transactions");
    let simulator = Simulator::start(SimulatorSettings {
        dir: Some(folder.to_path_buf()),
        notify_base: Some(base.parse().unwrap()),
        ..SimulatorSettings::default()
    })
    .await
    .unwrap();
    let environment = environment(&scratch, &folder.join("wechat.env"), &address.to_string());
    let mut service = Service::start(&environment);
    let site = Site::new(&base, tenant.id);
    ready(&site).await;
    let crm = back_end(&site, tenant.id, "merchant-crm");
    let mut customers = Vec::new();
    for name in 0..6 {
        let customer = site.customer(&format!("c{name}")).await;
        customers.push(id_of(&customer).await);
    }
    let done = Arc::new(AtomicUsize::new(0));
    let working: Vec<_> = (0..8_usize)
        .map(|worker| {
            let (crm, customers, done) = (crm.clone(), customers.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                for index in (worker..TRANSACTIONS).step_by(8) {
                    let customer = customers[index % customers.len()];
                    let body = |points: i64| {
                        json!({ "customer_id": customer, "points": points, "reference": format!("r{index}"), "reason": "测试" })
                    };
                    insist(&crm, "/api/v1/open/points/awards", &body(10)).await;
                    let hold = insist(&crm, "/api/v1/open/points/holds", &body(8)).await;
                    let path = format!("/api/v1/open/points/holds/{}/capture", hold["id"].as_str().unwrap());
                    insist(&crm, &path, &json!({ "points": 5 })).await;
                    insist(&crm, "/api/v1/open/points/deductions", &body(2)).await;
                    done.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for kill_at in [TRANSACTIONS / 4, TRANSACTIONS / 2, TRANSACTIONS * 3 / 4] {
        eventually("the day goes on", || async {
            (done.load(Ordering::SeqCst) >= kill_at).then_some(())
        })
        .await;
        service.kill();
        service = Service::start(&environment);
        ready(&site).await;
    }
    for worker in working {
        worker.await.unwrap();
    }
    // Each points transaction once: 10 given, 5 spent, 2 taken.
    let per_customer = i64::try_from(TRANSACTIONS / customers.len()).unwrap() * 3;
    for customer in &customers {
        let path = format!("/api/v1/open/points/customers/{customer}/balance");
        let balance = crm.get(&path).await.expect(200);
        assert_eq!(balance["posted"], per_customer, "{balance}");
        assert_eq!(balance["available"], per_customer, "{balance}");
    }
    service.kill();
    let db = db_of(DbOptions::new(scratch.service.clone())).await;
    jobs::drain(&db).await.unwrap();
    db.close().await;
    let report = verify::verify(&scratch.owner, &mut ()).await.unwrap();
    assert!(report.is_clean(), "{report}");
    simulator.stop().await;
    scratch.drop().await;
}
