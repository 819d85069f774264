//! Runs: asked for, shared between processes, taken over.

use serde_json::json;
use zhangfang::{
    auth::OperatorRole,
    points::expiry::{ClaimRun, Counts, LEASE_SECONDS, Progress, ReleaseRun, ReportRun},
};

use super::{Calendar, at, day, round, rounds, someone, worker};
use crate::harness::db_on;

const RUNS: &str = "/api/v1/admin/points/expiry-runs";

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_starts_a_run_and_sees_what_it_did_and_what_will_expire() {
    let calendar = Calendar::open(at("2026-11-21T00:05:00")).await;
    let (one, other) = (someone(calendar.db()), someone(calendar.db()));
    calendar.grant(one, 10, day("2026-11-22")).await;
    calendar.grant(other, 5, day("2026-11-22")).await;
    calendar.grant(other, 5, day("2026-11-30")).await;
    calendar.clock.set(at("2026-11-22T00:05:00"));
    let admin = calendar.operator(OperatorRole::Admin);
    let expiring = "/api/v1/admin/points/expiring?from=2026-11-21&to=2026-12-21";
    let days = admin.get(expiring).await.expect(200);
    let expected = json!({ "days": [
        { "last_usable_on": "2026-11-21", "points": 15, "customers": 2 },
        { "last_usable_on": "2026-11-29", "points": 5, "customers": 1 },
    ] });
    assert_eq!(days, expected);

    // Before its hour only because somebody asks; asking twice is asking once.
    assert_eq!(rounds(calendar.db()).await, 0);
    let asked = admin.post(RUNS, &json!({})).await.expect(202);
    assert_eq!(
        (&asked["state"], &asked["day"]),
        (&json!("asked"), &json!("2026-11-22"))
    );
    let again = admin.post(RUNS, &json!({})).await.expect(202);
    assert_eq!(again["id"], asked["id"]);
    assert_eq!(rounds(calendar.db()).await, 1);
    let page = admin.get(&format!("{RUNS}?limit=1")).await.expect(200);
    let run = &page["items"][0];
    assert_eq!(run["id"], asked["id"]);
    assert_eq!(run["state"], "finished");
    let did = (
        &run["accounts"],
        &run["lots"],
        &run["points"],
        &run["notices"],
    );
    assert_eq!(did, (&json!(2), &json!(2), &json!(15), &json!(0)));
    // The night's own run comes all the same, and finds nothing; then there are two, one a page.
    calendar.clock.set(at("2026-11-22T00:10:00"));
    assert_eq!(rounds(calendar.db()).await, 1);
    let newest = admin.get(&format!("{RUNS}?limit=1")).await.expect(200);
    assert_eq!(newest["items"][0]["started_by"], "schedule");
    let cursor = newest["next_cursor"].as_str().unwrap();
    let older = admin.get(&format!("{RUNS}?limit=1&cursor={cursor}")).await;
    assert_eq!(older.expect(200)["items"][0]["id"], asked["id"]);
    assert_eq!(calendar.expired().await, (2, 2, 15));

    let logs = admin.get("/api/v1/admin/audit-logs").await.expect(200);
    let lines = logs["items"].as_array().unwrap();
    let asked = lines
        .iter()
        .filter(|line| line["action"] == "points_expiry.asked");
    assert_eq!(asked.count(), 1);
    // Who may look need not be who may do.
    let auditor = calendar.operator(OperatorRole::Auditor);
    auditor.get(RUNS).await.expect(200);
    auditor
        .post(RUNS, &json!({}))
        .await
        .refused(403, "forbidden");
    let long = "/api/v1/admin/points/expiring?from=2026-01-01&to=2026-12-31";
    assert_eq!(admin.get(long).await.status, 422);
    calendar.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_sweep_once_between_them() {
    let calendar = Calendar::open(at("2026-11-21T12:00:00")).await;
    let mut customers = Vec::new();
    for _ in 0..150 {
        let customer = someone(calendar.db());
        calendar.grant(customer, 4, day("2026-11-23")).await;
        calendar.grant(customer, 6, day("2026-11-24")).await;
        customers.push(customer);
    }
    let options = zhangfang::db::DbOptions::new(calendar.app.scratch.service.clone());
    let other = db_on(options, calendar.clock.clone()).await;
    for (today, total) in [("2026-11-23", 600), ("2026-11-24", 1_500)] {
        calendar.clock.set(at(&format!("{today}T00:10:00")));
        let (mut mine, mut theirs) = (worker(calendar.db()), worker(&other));
        let (one, two) = tokio::join!(round(&mut mine), round(&mut theirs));
        assert!(one != two, "one of them, {one} {two}");
        let runs = "SELECT CAST(SUM(points) AS SIGNED) FROM points_expiry_runs";
        assert_eq!(calendar.app.count(runs).await, total);
        assert_eq!(calendar.expired().await.2, total);
    }
    // Two that sweep the same accounts at once, whatever the lease says.
    for customer in &customers {
        calendar.grant(*customer, 8, day("2026-11-25")).await;
    }
    calendar.clock.set(at("2026-11-25T00:10:00"));
    let tenant = calendar.app.tenant.id;
    let both = customers.iter().flat_map(|customer| {
        [calendar.db(), &other].map(|db| {
            db.submit(zhangfang::points::expiry::ExpireLots {
                tenant,
                account: zhangfang::primitives::AccountId::customer_points(*customer),
                today: day("2026-11-25"),
            })
        })
    });
    let answers = futures_util::future::join_all(both).await;
    let points: i64 = answers
        .into_iter()
        .map(|answer| answer.unwrap().points.get())
        .sum();
    assert_eq!(points, 150 * 8);
    assert_eq!(calendar.expired().await, (450, 450, 150 * 18));
    other.close().await;
    calendar.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_worker_is_gone_is_taken_over_when_its_lease_ends() {
    let calendar = Calendar::open(at("2026-11-21T12:00:00")).await;
    let customer = someone(calendar.db());
    calendar.grant(customer, 4, day("2026-11-23")).await;
    calendar.clock.set(at("2026-11-23T09:00:00"));
    let admin = calendar.operator(OperatorRole::Admin);
    admin.post(RUNS, &json!({})).await.expect(202);
    // It claims the run and is never heard of again.
    let gone = [1; 16];
    let claim = |holder| calendar.db().run(ClaimRun { holder });
    let run = claim(gone).await.unwrap().unwrap();
    let mut worker = worker(calendar.db());
    assert!(!round(&mut worker).await);
    assert_eq!(
        claim(gone).await.unwrap().unwrap().id,
        run.id,
        "its own is its own"
    );
    let report = |progress| ReportRun {
        run: run.id,
        holder: gone,
        done: Counts::NONE,
        progress,
    };
    assert!(calendar.db().run(report(Progress::GoesOn)).await.unwrap());
    calendar.clock.advance_seconds(LEASE_SECONDS);
    assert!(!round(&mut worker).await, "to the second");
    calendar.clock.advance_seconds(1);
    assert!(round(&mut worker).await);
    assert_eq!(calendar.has(customer).await, (0, 0));
    // The first one wakes up: the run is not its own any more.
    let finished = Progress::Finished {
        noticed_until: None,
    };
    assert!(!calendar.db().run(report(finished)).await.unwrap());

    // One that stops gently gives its run back at once.
    admin.post(RUNS, &json!({})).await.expect(202);
    let run = claim(gone).await.unwrap().unwrap();
    let release = ReleaseRun {
        run: run.id,
        holder: gone,
    };
    calendar.db().run(release).await.unwrap();
    assert!(round(&mut worker).await);
    calendar.app.finish().await;
}
