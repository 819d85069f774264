//! The service as processes of their own, killed in the middle of a sweep.

use std::sync::Arc;

use serde_json::json;
use sqlx::ConnectOptions as _;
use wechat_pay_simulator::{Simulator, SimulatorSettings};
use zhangfang::{
    db::DbOptions,
    jobs,
    primitives::{AccountId, Clock as _, EntryId, EntryKind, MockClock, SystemClock},
    verify,
};

use super::{Change, EXPIRED, Move, someone};
use crate::harness::{
    Folder, Scratch, Service, Site, db_of, db_on, demo_tenant, environment, eventually,
    free_address, ready,
};

const CUSTOMERS: i64 = 600;

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_a_sweep_another_process_ends_it_and_nothing_expires_twice() {
    let scratch = Scratch::make().await;
    let tenant = demo_tenant(&scratch).await;
    // Points of three days ago, of which two lots have expired by now.
    let now = SystemClock.now();
    let before = Arc::new(MockClock::at(now.plus_seconds(-3 * 86_400)));
    let db = db_on(DbOptions::new(scratch.service.clone()), before).await;
    let first = db.now().business_day();
    let customers: Vec<_> = (0..CUSTOMERS).map(|_| someone(&db)).collect();
    let grants = customers.iter().flat_map(|customer| {
        [(1, 5), (2, 7), (30, 9)].map(|(days, points)| {
            let entry = EntryId::of(db.new_id(customer.lane()), EntryKind::Adjustment);
            db.submit(Move {
                tenant: tenant.id,
                customer: *customer,
                entry,
                change: Change::Grant(first.plus_days(days)),
                points,
            })
        })
    });
    for granted in futures_util::future::join_all(grants).await {
        granted.unwrap();
    }
    db.close().await;

    let folder = Folder::new("expiry");
    let simulator = Simulator::start(SimulatorSettings {
        dir: Some(folder.to_path_buf()),
        notify_base: Some("http://127.0.0.1:9".parse().unwrap()),
        ..SimulatorSettings::default()
    })
    .await
    .unwrap();
    let start = |share: &str| {
        let address = free_address();
        let mut settings = environment(&scratch, &folder.join("wechat.env"), &address.to_string());
        settings.push(("ZHANGFANG_JOBS__EXPIRY_SHARE".to_owned(), share.to_owned()));
        let site = Site::new(&format!("http://{address}"), tenant.id);
        (Service::start(&settings), site)
    };
    // It rests so long between its pages that it is killed in the middle.
    let (mut slow, site) = start("2");
    ready(&site).await;
    let runs = "/api/v1/admin/points/expiry-runs";
    site.admin().post(runs, &json!({})).await.expect(202);
    let db = db_of(DbOptions::new(scratch.service.clone())).await;
    let expired = || async {
        let found: (i64, i64, i64) = sqlx::query_as(EXPIRED).fetch_one(db.pool()).await.unwrap();
        found
    };
    let half = eventually("something has expired", || async {
        let (_, lots, _) = expired().await;
        (lots > 0).then_some(lots)
    })
    .await;
    slow.kill();
    assert!(
        half < CUSTOMERS * 2,
        "it was too fast to be killed half-way"
    );
    let half = expired().await.1;

    // Two others, of which one goes on as soon as the lease has run out.
    let others = [start("100"), start("100")];
    for (_, site) in &others {
        ready(site).await;
    }
    let mut owner = scratch.owner.clone().connect().await.unwrap();
    let end_lease = "UPDATE points_expiry_runs SET leased_until = '2000-01-01' WHERE lease = 1";
    sqlx::raw_sql(end_lease).execute(&mut owner).await.unwrap();
    eventually("every run is finished", || async {
        let (open,): (i64,) =
            sqlx::query_as("SELECT COUNT(*) FROM points_expiry_runs WHERE open = 1")
                .fetch_one(db.pool())
                .await
                .unwrap();
        (open == 0).then_some(())
    })
    .await;
    let (_, lots, points) = expired().await;
    assert!(half < lots, "{half} {lots}");
    assert_eq!((lots, points), (CUSTOMERS * 2, CUSTOMERS * 12));
    let (left,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM accounts WHERE credits_posted - debits_posted = 9")
            .fetch_one(db.pool())
            .await
            .unwrap();
    assert_eq!(left, CUSTOMERS);
    let account = AccountId::customer_points(customers[0]);
    assert_eq!(account.customer(), Some(customers[0]));

    drop(others);
    jobs::drain(&db).await.unwrap();
    db.close().await;
    let report = verify::verify(&scratch.owner, &mut ()).await.unwrap();
    assert!(report.is_clean(), "the books are not clean:\n{report}");
    simulator.stop().await;
    scratch.drop().await;
}
