//! Hundreds of orders live through random histories, legal and hostile, while WeChat misbehaves and
//! the service is killed: afterwards the books are clean and agree with WeChat.
//!
//! Everything is drawn from one seed, which is printed; `ZHANGFANG_TEST_SEED=…` plays the same
//! wishes again (what runs beside what is the machine's).

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the seed is given and told on the command line"
)]

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use wechat_pay_simulator::{
    CallFaults, Endpoint, Faults, Payment, PerMille, RefundState, Simulator, SimulatorSettings,
};
use zhangfang::{db::DbOptions, jobs, verify};

use crate::harness::{
    Caller, Folder, Merchant, Scratch, Service, Site, db_of, demo_tenant, environment,
    eventually_within, free_address, ready,
};

const ORDERS: usize = 240;
const WORKERS: usize = 12;
/// How much faster than WeChat the simulator and our jobs are.
const TIME_SCALE: u32 = 300;

/// Every call of WeChat goes wrong now and then, each in its own way.
fn faults() -> Faults {
    let often = PerMille::new;
    let call = CallFaults {
        bad_gateway: often(30),
        system_error: often(20),
        commit_then_cut: often(40),
        commit_then_system_error: often(30),
        wrong_signature: often(10),
        probe: often(10),
        unsigned: often(10),
        ..CallFaults::default()
    };
    let refund = CallFaults {
        commit_then_rate_limited: often(40),
        rate_limited: often(20),
        ..call
    };
    let query = CallFaults {
        not_found: often(20),
        ..call
    };
    let calls = BTreeMap::from([
        (Endpoint::Prepay, call),
        (Endpoint::Native, call),
        (Endpoint::Close, call),
        (
            Endpoint::Query,
            CallFaults {
                not_found: PerMille::NEVER,
                ..query
            },
        ),
        (Endpoint::Refund, refund),
        (Endpoint::RefundQuery, query),
        (Endpoint::AbnormalRefund, call),
    ]);
    Faults {
        duplicate: often(100),
        twin: often(100),
        late: often(50),
        out_of_order: often(30),
        lost: often(60),
        wrong_amount: often(40),
        wrong_merchant: often(20),
        tampered: often(40),
        wrong_key: often(20),
        stale_time: often(20),
        probe: often(40),
        refund_abnormal: often(60),
        refund_closed: often(80),
        refunds_at_once: true,
        close_while_paying: often(150),
        calls,
        ..Faults::default()
    }
}

/// What everybody shares.
struct World {
    seed: u64,
    site: Site,
    simulator: Simulator,
    customers: Vec<Caller>,
    merchants: Vec<Merchant>,
    admins: [Caller; 2],
    done: AtomicUsize,
}

/// Posts until there is an answer that is not a failure on the way: nobody listens while the
/// service is down, and WeChat may not answer.
async fn insist(caller: &Caller, path: &str, body: &Value) -> (u16, Value) {
    eventually_within(60, &format!("an answer to {path}"), || async {
        let answer = caller.try_post(path, body).await?;
        let busy = answer.status >= 500 || answer.status == 429;
        let value: Value = serde_json::from_slice(&answer.bytes).unwrap_or_default();
        // Somebody is entering the password: by the way that WeChat says so, worth another try.
        let paying = value["code"] == "order_payment_in_progress";
        (!busy && !paying).then_some((answer.status, value))
    })
    .await
}

async fn look(caller: &Caller, path: &str) -> Value {
    eventually_within(60, &format!("an answer to {path}"), || async {
        let answer = caller.try_get(path).await?;
        (answer.status == 200).then(|| serde_json::from_slice(&answer.bytes).unwrap())
    })
    .await
}

/// One order's life.
async fn play(world: &World, index: usize) {
    let mut rng = StdRng::seed_from_u64(
        world.seed
            ^ u64::try_from(index)
                .unwrap()
                .wrapping_mul(0x9e37_79b9_7f4a_7c15),
    );
    let customer = &world.customers[rng.random_range(0..world.customers.len())];
    let merchant = &world.merchants[rng.random_range(0..world.merchants.len())];
    let amount: i64 = rng.random_range(1..20_000);
    let native = rng.random_range(0..100) < 15;
    let key = format!("order-{index}");
    let (path, body, caller) = if native {
        (
            "/api/v1/merchant/payments",
            json!({ "amount_fen": amount }),
            &merchant.owner,
        )
    } else {
        (
            "/api/v1/customer/payments",
            json!({ "code": merchant.code, "amount_fen": amount }),
            customer,
        )
    };
    let (status, made) = insist(&caller.keyed(&key), path, &body).await;
    assert_eq!(status, 201, "{made}");
    let order_no = made["order_no"].as_str().unwrap().to_owned();
    let payer = format!("payer-{}", index % 7);
    let pay = |how: Payment| {
        let (world, order_no, made) = (world, order_no.clone(), made.clone());
        let payer = wechat_pay_simulator::openid_for(&payer);
        async move {
            // Who comes too late finds the order closed; that is no failure.
            if native {
                let code_url = made["code_url"].as_str().unwrap();
                let _ = world.simulator.pay_native(code_url, &payer, how).await;
            } else {
                let _ = world.simulator.pay(&order_no, how).await;
            }
        }
    };
    let close = async {
        let by = if native || index.is_multiple_of(2) {
            &merchant.owner
        } else {
            customer
        };
        let audience = if native || index.is_multiple_of(2) {
            "merchant"
        } else {
            "customer"
        };
        let path = format!("/api/v1/{audience}/payments/{order_no}/close");
        let (status, answer) = insist(by, &path, &json!({})).await;
        assert_eq!(status, 200, "{answer}");
    };
    match rng.random_range(0..100) {
        0..50 => pay(Payment::default()).await,
        50..60 => {
            pay(Payment::silent()).await;
            if !native {
                let path = format!("/api/v1/customer/payments/{order_no}/confirm");
                insist(customer, &path, &json!({})).await;
            }
        }
        60..70 => pay(Payment::silent()).await,
        70..78 => close.await,
        78..90 => {
            futures_util::future::join(pay(Payment::default()), close).await;
        }
        // Nobody comes: it expires.
        _ => {}
    }
    world.done.fetch_add(1, Ordering::SeqCst);
    if rng.random_range(0..100) < 60 {
        let many = rng.random_range(1..=4);
        let requests: Vec<(i64, bool, u32)> = (0..many)
            .map(|_| {
                (
                    rng.random_range(1..=amount),
                    rng.random_range(0..2) == 0,
                    rng.random_range(1..=2),
                )
            })
            .collect();
        refund(world, merchant, &order_no, index, &requests).await;
    }
}

/// Refunds at once by merchant and tenant, some of them twice with one key, some more than there
/// is; whatever waits for a second person is decided.
async fn refund(
    world: &World,
    merchant: &Merchant,
    order_no: &str,
    index: usize,
    requests: &[(i64, bool, u32)],
) {
    let asking = requests
        .iter()
        .enumerate()
        .flat_map(|(number, (amount, by_merchant, times))| {
            (0..*times).map(move |_| async move {
                let (caller, audience) = if *by_merchant {
                    (&merchant.owner, "merchant")
                } else {
                    (&world.admins[0], "admin")
                };
                let path = format!("/api/v1/{audience}/payments/{order_no}/refunds");
                let body = json!({ "amount_fen": amount, "reason": "顾客退货" });
                let (status, answer) = insist(
                    &caller.keyed(&format!("refund-{index}-{number}")),
                    &path,
                    &body,
                )
                .await;
                assert!(matches!(status, 201 | 409 | 422), "{status} {answer}");
                (status == 201).then_some(answer)
            })
        });
    for answer in futures_util::future::join_all(asking)
        .await
        .into_iter()
        .flatten()
    {
        if answer["state"] == "awaiting_approval" {
            let number = answer["refund_no"].as_str().unwrap();
            let (verb, body) = if index.is_multiple_of(3) {
                ("reject", json!({ "reason": "商品已使用" }))
            } else {
                ("approve", json!({}))
            };
            let path = format!("/api/v1/admin/refunds/{number}/{verb}");
            let (status, answer) = insist(
                &world.admins[1].keyed(&format!("{verb}-{number}")),
                &path,
                &body,
            )
            .await;
            assert!(matches!(status, 200 | 409), "{status} {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_histories_end_in_clean_books_that_agree_with_wechat() {
    let seed = std::env::var("ZHANGFANG_TEST_SEED")
        .map_or_else(|_| rand::random(), |text| text.parse().unwrap());
    println!("ZHANGFANG_TEST_SEED={seed}");
    let scratch = Scratch::make().await;
    let tenant = demo_tenant(&scratch).await;
    let address = free_address();
    let base = format!("http://{address}");
    let folder = Folder::new("histories");
    let simulator = Simulator::start(SimulatorSettings {
        dir: Some(folder.to_path_buf()),
        notify_base: Some(base.parse().unwrap()),
        resend_compression: TIME_SCALE,
        faults: Faults::default(),
        seed,
        ..SimulatorSettings::default()
    })
    .await
    .unwrap();
    let mut environment = environment(&scratch, &folder.join("wechat.env"), &address.to_string());
    environment.push((
        "ZHANGFANG_JOBS__TIME_SCALE".to_owned(),
        TIME_SCALE.to_string(),
    ));
    let mut service = Service::start(&environment);
    let site = Site::new(&base, tenant.id);
    ready(&site).await;

    let policy = json!({
        "order_minutes": 1, "late_payment": if seed.is_multiple_of(2) { "refund" } else { "reopen" },
        "points_shortfall": "debt", "clerk_refund_max_fen": 1_000, "clerk_refund_day_max_fen": 1_000_000, "refund_review_above_fen": 8_000, "fee_ppm": 6_000,
    });
    site.admin()
        .put("/api/v1/admin/payment-policy", &policy)
        .await
        .expect(200);
    let mut merchants = Vec::new();
    for number in 0..3 {
        merchants.push(
            site.merchant(&format!("第 {number} 家店"), &format!("190000015{number}"))
                .await,
        );
    }
    let mut customers = Vec::new();
    for number in 0..12 {
        customers.push(site.customer(&format!("c{number}")).await);
    }
    simulator.set_faults(faults());
    let world = Arc::new(World {
        seed,
        admins: [site.admin(), site.operator("second")],
        site: site.clone(),
        simulator,
        customers,
        merchants,
        done: AtomicUsize::new(0),
    });
    let working: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                for index in (worker..ORDERS).step_by(WORKERS) {
                    play(&world, index).await;
                }
            })
        })
        .collect();
    for kill_at in [ORDERS / 4, ORDERS / 2, ORDERS * 3 / 4] {
        eventually_within(120, "the day goes on", || async {
            (world.done.load(Ordering::SeqCst) >= kill_at).then_some(())
        })
        .await;
        service.kill();
        service = Service::start(&environment);
        ready(&site).await;
    }
    for worker in working {
        worker.await.unwrap();
    }

    settle_down(&world).await;
    let ours = orders_of(&world.site).await;
    assert_eq!(ours.len(), ORDERS, "each key made one order");
    compare(&world, &ours).await;
    assert_eq!(world.simulator.stats().forgeries_acknowledged, 0);
    service.kill();
    let db = db_of(DbOptions::new(scratch.service.clone())).await;
    jobs::drain(&db).await.unwrap();
    db.close().await;
    let report = verify::verify(&scratch.owner, &mut ()).await.unwrap();
    assert!(report.is_clean(), "ZHANGFANG_TEST_SEED={seed}\n{report}");
    scratch.drop().await;
}

/// Waits until nothing is open, and no refund is on its way. What the customers' banks do not take
/// is sent to the merchants' accounts by operators.
async fn settle_down(world: &World) {
    world.simulator.idle().await;
    eventually_within(180, "nothing is open or on its way", || async {
        let abnormal = all(&world.site.admin(), "/api/v1/admin/refunds?state=abnormal").await;
        for refund in &abnormal {
            let path = format!(
                "/api/v1/admin/refunds/{}/redirect",
                refund["refund_no"].as_str().unwrap()
            );
            // A large one takes two people who want the same.
            for operator in [world.site.admin(), world.site.operator("second")] {
                let _ = operator.try_post(&path, &json!({})).await;
            }
        }
        for state in ["accepted", "processing", "returning", "awaiting_approval"] {
            let left = all(
                &world.site.admin(),
                &format!("/api/v1/admin/refunds?state={state}"),
            )
            .await;
            if !left.is_empty() {
                return None;
            }
        }
        let open = orders_of(&world.site).await;
        let open = open
            .values()
            .any(|order| matches!(order["state"].as_str(), Some("created" | "prepaid")));
        (!open && abnormal.is_empty()).then_some(())
    })
    .await;
}

/// Every page of a list.
async fn all(caller: &Caller, path: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let sign = if path.contains('?') { '&' } else { '?' };
        let page = match &cursor {
            Some(cursor) => look(caller, &format!("{path}{sign}limit=100&cursor={cursor}")).await,
            None => look(caller, &format!("{path}{sign}limit=100")).await,
        };
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return items;
        }
    }
}

async fn orders_of(site: &Site) -> HashMap<String, Value> {
    let orders = all(&site.admin(), "/api/v1/admin/payments").await;
    orders
        .into_iter()
        .map(|order| (order["order_no"].as_str().unwrap().to_owned(), order))
        .collect()
}

/// What WeChat took and gave back is what the books say, order by order.
async fn compare(world: &World, ours: &HashMap<String, Value>) {
    let url = format!("{}sim/orders?limit=10000", world.simulator.base_url());
    let theirs: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    let mut refunded: HashMap<String, i64> = HashMap::new();
    for refund in world.simulator.refunds() {
        if matches!(refund.state, RefundState::Success { .. }) {
            *refunded.entry(refund.out_trade_no.clone()).or_default() += refund.refund_fen;
        }
    }
    let mut paid = 0;
    for order in theirs["orders"].as_array().unwrap() {
        let number = order["out_trade_no"].as_str().unwrap();
        let mine = &ours[number];
        let state = mine["state"].as_str().unwrap();
        let took = matches!(order["trade_state"].as_str(), Some("SUCCESS" | "REFUND"));
        let have = matches!(state, "paid" | "partly_refunded" | "refunded");
        assert_eq!(took, have, "{order} {mine}");
        assert_eq!(
            mine["refunded_fen"].as_i64(),
            Some(refunded.get(number).copied().unwrap_or(0)),
            "{order} {mine}"
        );
        paid += usize::from(have);
    }
    println!(
        "{paid} of {ORDERS} orders were paid, {} of them refunded in part or whole",
        refunded.len()
    );
    assert!(
        paid > ORDERS / 2 && refunded.len() > ORDERS / 10,
        "a day on which too little happened"
    );
}
