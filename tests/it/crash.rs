//! `kill -9` of the service and of the database in the middle of a busy day: nothing that was
//! answered is lost, nothing is half done.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::json;
use sqlx::ConnectOptions as _;
use wechat_pay_simulator::{Faults, Payment, Simulator, SimulatorSettings};
use zhangfang::{db::DbOptions, jobs, verify};

use crate::harness::{
    Folder, Scratch, Server, Service, Site, db_of, demo_tenant, dev, engine, environment,
    eventually, free_address, per_mille, ready, sessions,
};

const ORDERS: usize = 400;

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_nothing_answered_is_lost_and_the_books_are_clean() {
    let server = Server::in_folder("crash");
    let start_database = || dev(&["server", "start", &engine(), &server.dir]);
    let url = start_database();
    let scratch = Scratch::make_on(url.trim().lines().last().unwrap().parse().unwrap()).await;
    let tenant = demo_tenant(&scratch).await;

    let address = free_address();
    let base = format!("http://{address}");
    let keys_dir = Path::new(&server.dir).join("wechat");
    let simulator = Simulator::start(SimulatorSettings {
        dir: Some(keys_dir.clone()),
        notify_base: Some(base.parse().unwrap()),
        resend_compression: 300,
        faults: Faults {
            duplicate: per_mille(100),
            twin: per_mille(100),
            tampered: per_mille(50),
            wrong_amount: per_mille(50),
            ..Faults::default()
        },
        ..SimulatorSettings::default()
    })
    .await
    .unwrap();
    let environment = environment(&scratch, &keys_dir.join("wechat.env"), &address.to_string());
    let mut service = Service::start(&environment);
    let site = Site::new(&base, tenant.id);
    ready(&site).await;
    let merchant = site.merchant("老张面馆", "1900000140").await;
    let mut customers = Vec::new();
    for name in 0..10 {
        customers.push(site.customer(&format!("c{name}")).await);
    }

    let simulator = Arc::new(simulator);
    let done = Arc::new(AtomicUsize::new(0));
    let working: Vec<_> = (0..16_usize)
        .map(|worker| {
            let (customers, merchant, simulator, done) = (
                customers.clone(),
                merchant.clone(),
                Arc::clone(&simulator),
                Arc::clone(&done),
            );
            tokio::spawn(async move {
                let mut answered = Vec::new();
                for index in (worker..ORDERS).step_by(16) {
                    let customer = customers[index % customers.len()].keyed(&format!("k{index}"));
                    let body = json!({ "code": merchant.code, "amount_fen": 1000 });
                    // Whoever gets no answer asks again with the same key.
                    let order_no = eventually("a payment is created", || async {
                        let answer = customer
                            .try_post("/api/v1/customer/payments", &body)
                            .await?;
                        if answer.status != 201 {
                            assert!(
                                answer.status >= 500,
                                "{}",
                                String::from_utf8_lossy(&answer.bytes)
                            );
                            return None;
                        }
                        Some(answer.expect(201)["order_no"].as_str().unwrap().to_owned())
                    })
                    .await;
                    simulator.pay(&order_no, Payment::default()).await.unwrap();
                    answered.push((customer, order_no));
                    done.fetch_add(1, Ordering::SeqCst);
                }
                answered
            })
        })
        .collect();

    for (kill_at, what) in [
        (60, "service"),
        (140, "database"),
        (220, "service"),
        (300, "both"),
    ] {
        eventually("the day goes on", || async {
            (done.load(Ordering::SeqCst) >= kill_at).then_some(())
        })
        .await;
        if what != "database" {
            service.kill();
        }
        if what != "service" {
            dev(&["server", "kill", &server.dir]);
            start_database();
        }
        if what != "database" {
            service = Service::start(&environment);
        }
        ready(&site).await;
    }

    let mut answered = Vec::new();
    for worker in working {
        answered.extend(worker.await.unwrap());
    }
    assert_eq!(answered.len(), ORDERS);
    for (customer, order_no) in &answered {
        let path = format!("/api/v1/customer/payments/{order_no}");
        eventually("an answered order is paid", || async {
            let order = customer.try_get(&path).await?.expect(200);
            (order["state"] == "paid" && order["points_earned"] == 10).then_some(())
        })
        .await;
    }
    simulator.idle().await;
    assert_eq!(simulator.stats().forgeries_acknowledged, 0);
    service.kill();

    let db = db_of(DbOptions::new(scratch.service.clone())).await;
    jobs::drain(&db).await.unwrap();
    let paid: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM payment_orders WHERE state = 3")
        .fetch_one(db.pool())
        .await
        .unwrap();
    assert_eq!(
        usize::try_from(paid).unwrap(),
        ORDERS,
        "each key made one order, and each order was paid"
    );
    db.close().await;
    let report = verify::verify(&scratch.owner, &mut ()).await.unwrap();
    assert!(report.is_clean(), "{report}");
}

/// SIGTERM while a callback is being committed: it is answered, and what it was told is true.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_stopped_answers_the_requests_that_it_accepted() {
    let scratch = Scratch::make().await;
    let tenant = demo_tenant(&scratch).await;
    let address = free_address();
    let base = format!("http://{address}");
    let folder = Folder::new("stop");
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
    let merchant = site.merchant("老张面馆", "1900000141").await;
    let li = site.customer("li").await;
    let order_no = site.create(&li, &merchant.code, 1000, "k").await;

    // Somebody holds the order, so that the commit waits.
    let mut others = scratch.owner.clone().connect().await.unwrap();
    sqlx::raw_sql("BEGIN").execute(&mut others).await.unwrap();
    sqlx::raw_sql("SELECT id FROM payment_orders FOR UPDATE")
        .execute(&mut others)
        .await
        .unwrap();
    simulator.pay(&order_no, Payment::clean()).await.unwrap();
    let mut onlooker = scratch.owner.clone().connect().await.unwrap();
    eventually("the commit waits", || {
        let waiting = sessions(
            &mut onlooker,
            "db = DATABASE() AND info LIKE '%payments.update_order %'",
        );
        let waiting =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(waiting))
                .is_some_and(|waiting| !waiting.is_empty());
        async move { waiting.then_some(()) }
    })
    .await;
    let signalled = Command::new("kill")
        .arg(service.process.id().to_string())
        .status()
        .unwrap();
    assert!(signalled.success());
    // It listens no more, and lives until it has answered.
    eventually("nothing more is taken", || async {
        std::net::TcpStream::connect(address).is_err().then_some(())
    })
    .await;
    assert!(
        service.process.try_wait().unwrap().is_none(),
        "it left without an answer"
    );
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut others)
        .await
        .unwrap();

    let ended = eventually("the service ends", || {
        let ended = service.process.try_wait().unwrap();
        async move { ended }
    })
    .await;
    assert!(ended.success(), "{ended}");
    simulator.idle().await;
    let stats = simulator.stats();
    assert_eq!(
        (stats.callbacks_acknowledged, stats.callbacks_refused),
        (1, 0),
        "the callback was answered by the process that took it"
    );
    let db = db_of(DbOptions::new(scratch.service.clone())).await;
    jobs::drain(&db).await.unwrap();
    let paid: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM payment_orders WHERE state = 3")
        .fetch_one(db.pool())
        .await
        .unwrap();
    assert_eq!(paid, 1);
    db.close().await;
    let report = verify::verify(&scratch.owner, &mut ()).await.unwrap();
    assert!(report.is_clean(), "{report}");
    simulator.stop().await;
    scratch.drop().await;
}
