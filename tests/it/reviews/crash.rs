//! `kill -9` while payments are held and reviews decided: nothing that was answered is lost,
//! nothing is half done.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::json;
use wechat_pay_simulator::{Payment, Simulator, SimulatorSettings};
use zhangfang::{db::DbOptions, jobs, primitives::OrderNo, verify};

use super::path_of;
use crate::harness::{
    Folder, Scratch, Service, Site, db_of, demo_tenant, environment, eventually, free_address,
    ready,
};

const ORDERS: usize = 48;

/// Everything that is earned is reviewed.
const RULES: &str = "\
rules:
  - id: everything
    name: 全部审核
    stages: [points.credit]
    action: review
    points: {above: 0}
";

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_holding_and_deciding_every_answered_decision_stands_and_the_books_are_clean()
 {
    let scratch = Scratch::make().await;
    let tenant = demo_tenant(&scratch).await;
    let address = free_address();
    let base = format!("http://{address}");
    let folder = Folder::new("review");
    let simulator = Simulator::start(SimulatorSettings {
        dir: Some(folder.to_path_buf()),
        notify_base: Some(base.parse().unwrap()),
        resend_compression: 300,
        ..SimulatorSettings::default()
    })
    .await
    .unwrap();
    let mut environment = environment(&scratch, &folder.join("wechat.env"), &address.to_string());
    let rules = folder.file("rules.yaml", RULES);
    environment.extend([
        ("ZHANGFANG_RISK__ENABLED".to_owned(), "true".to_owned()),
        (
            "ZHANGFANG_RISK__RULES".to_owned(),
            rules.to_str().unwrap().to_owned(),
        ),
    ]);
    let mut service = Service::start(&environment);
    let site = Site::new(&base, tenant.id);
    ready(&site).await;
    let merchant = site.merchant("老张面馆", "1900000142").await;
    let customer = site.customer("li").await;
    let mut orders = Vec::new();
    for index in 0..ORDERS {
        orders.push(
            site.create(&customer, &merchant.code, 1_000, &format!("k{index}"))
                .await,
        );
    }

    let done = Arc::new(AtomicUsize::new(0));
    let simulator = Arc::new(simulator);
    let working: Vec<_> = (0..8)
        .map(|worker| {
            let (orders, site, simulator, done) = (
                orders.clone(),
                site.clone(),
                Arc::clone(&simulator),
                Arc::clone(&done),
            );
            tokio::spawn(async move {
                let mut answers = Vec::new();
                for (index, no) in orders.iter().enumerate().skip(worker).step_by(8) {
                    simulator.pay(no, Payment::default()).await.unwrap();
                    let order = no.parse::<OrderNo>().unwrap().id();
                    let word = if index % 2 == 0 { "approve" } else { "reject" };
                    let path = format!("{}/{word}", path_of(order));
                    let lin = site.operator("lin").keyed(&format!("w{index}"));
                    // Not there until the payment is settled; whoever gets no answer asks again
                    // with the same key.
                    let state = eventually("a review is decided", || async {
                        let answer = lin.try_post(&path, &json!({ "note": "x" })).await?;
                        (answer.status == 200).then(|| answer.expect(200)["state"].clone())
                    })
                    .await;
                    answers.push((order, state));
                    done.fetch_add(1, Ordering::SeqCst);
                }
                answers
            })
        })
        .collect();
    for kill_at in [8, 20, 34] {
        eventually("the work goes on", || async {
            (done.load(Ordering::SeqCst) >= kill_at).then_some(())
        })
        .await;
        service.kill();
        service = Service::start(&environment);
        ready(&site).await;
    }
    let mut answers = Vec::new();
    for worker in working {
        answers.extend(worker.await.unwrap());
    }
    assert_eq!(answers.len(), ORDERS);
    for (order, state) in answers {
        let review = site.admin().get(&path_of(order)).await.expect(200);
        assert_eq!(review["state"], state);
    }
    let points = customer.get("/api/v1/customer/points").await.expect(200);
    let expected = 10 * ORDERS / 2;
    assert_eq!(
        (&points["posted"], &points["pending"]),
        (&json!(expected), &json!(0))
    );
    simulator.idle().await;
    service.kill();
    let db = db_of(DbOptions::new(scratch.service.clone())).await;
    jobs::drain(&db).await.unwrap();
    db.close().await;
    let report = verify::verify(&scratch.owner, &mut ()).await.unwrap();
    assert!(report.is_clean(), "{report}");
    scratch.drop().await;
}
