//! The client of WeChat Pay against the simulator, without a database.

use std::sync::Arc;

use secrecy::ExposeSecret as _;
use wechat_pay_simulator::{
    BillSettings, CallbackKey, Coupon, Faults, Payment, PerMille, RefundElsewhere, SignedCallback,
    Simulator, SimulatorSettings,
};
use zhangfang::{
    config::{WechatFiles, WechatMode, WechatPublicKey, WechatSettings},
    payments::{
        BillKind, BillLines, ChannelOrder, ChannelOutcome, NoticeBody, NoticeError, NoticeHeaders,
        PaymentChannel as _, PrepayRequest, RefusalKind,
    },
    primitives::{
        Clock as _, Id, Lane, Money, OrderId, OrderNo, RandomIds, Secret, SystemClock, TenantId,
    },
    wechat::{WechatAccounts, WechatChannel},
};

/// Settings that know no key of WeChat's yet.
fn settings(simulator: &Simulator) -> WechatSettings {
    let us = simulator.credentials();
    WechatSettings {
        mode: WechatMode::Partner,
        pay_url: simulator.base_url().clone(),
        backup_url: None,
        mini_program_url: simulator.base_url().clone(),
        app_id: us.app_id.clone(),
        app_secret: Secret::new(us.app_secret.expose_secret().to_owned()),
        sp_mchid: us.sp_mchid.clone(),
        merchant_serial: us.merchant_serial.clone(),
        private_key_pem: Secret::new(us.private_key_pem.expose_secret().to_owned()),
        apiv3_key: Secret::new(us.apiv3_key.expose_secret().to_owned()),
        apiv3_key_old: None,
        public_key: None,
        platform_certificates_pem: None,
        fetch_certificates: true,
        notify_base: "http://127.0.0.1:9".parse().unwrap(),
        allow_loopback_http: true,
        tenants_dir: None,
        files: WechatFiles::default(),
    }
}

fn read(channel: &WechatChannel, callback: &SignedCallback) -> Result<NoticeBody, NoticeError> {
    let header = |name: &str| {
        callback
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap())
    };
    let headers = NoticeHeaders {
        timestamp: header("wechatpay-timestamp"),
        nonce: header("wechatpay-nonce"),
        signature: header("wechatpay-signature"),
        serial: header("wechatpay-serial"),
        signature_type: header("wechatpay-signature-type"),
    };
    let notice = channel.read_notice(headers, &callback.body, SystemClock.now())?;
    Ok(notice.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_fetched_from_wechat_and_then_a_payment_is_verified() {
    let simulator = Simulator::start(SimulatorSettings {
        faults: Faults {
            callback_key: CallbackKey::Certificate,
            ..Faults::default()
        },
        ..SimulatorSettings::default()
    })
    .await
    .unwrap();
    let sub_mchid = "1900000109";
    let order_no = OrderNo::from(OrderId::new(Id::mint(1_795_000_000_000, 7, Lane(1))));
    let accounts = WechatAccounts::new(
        &settings(&simulator),
        Arc::new(SystemClock),
        Arc::new(RandomIds),
    )
    .unwrap();
    let channel = accounts.account(TenantId(1));
    let absent = || channel.query(order_no, sub_mchid);

    // Nothing can be verified yet.
    let before = absent().await;
    assert!(matches!(before, ChannelOutcome::Unknown(_)), "{before:?}");
    accounts.refresh().await;
    let after = absent().await;
    assert!(
        matches!(after, ChannelOutcome::Done(ChannelOrder::Absent)),
        "{after:?}"
    );

    let prepay_id = channel
        .prepay(PrepayRequest {
            order_no,
            sub_mchid: sub_mchid.to_owned(),
            amount: Money::parse(1280).unwrap(),
            description: "茶".to_owned(),
            payer_openid: Some(Secret::new("oA".to_owned())),
            expires_at: SystemClock.now().plus_seconds(900),
            notify_path: "/notify".to_owned(),
            profit_sharing: false,
        })
        .await;
    assert!(
        matches!(prepay_id, ChannelOutcome::Done(_)),
        "{prepay_id:?}"
    );
    let number = order_no.to_string();
    simulator.pay(&number, Payment::silent()).await.unwrap();
    let paid = channel.query(order_no, sub_mchid).await;
    let ChannelOutcome::Done(ChannelOrder::Paid { notice, refunded }) = paid else {
        panic!("{paid:?}")
    };
    assert_eq!((notice.amount.get(), refunded), (1280, false));
    let by_id = channel
        .query_by_transaction(&notice.wechat_transaction_id, sub_mchid)
        .await;
    assert!(
        matches!(by_id, ChannelOutcome::Done(ChannelOrder::Paid { .. })),
        "{by_id:?}"
    );
    let callback = simulator.callback_for(&number).unwrap();
    let answer = read(&channel, &callback).unwrap();
    assert!(
        matches!(&answer, NoticeBody::Paid(paid) if *paid == notice),
        "{answer:?}"
    );
    simulator.stop().await;
}

const SUB_MCHID: &str = "1900000109";

/// A simulator and a client that trusts its public key: what new merchants have.
async fn with_public_key(faults: Faults) -> (Simulator, WechatAccounts) {
    let simulator = Simulator::start(SimulatorSettings {
        faults,
        bills: BillSettings {
            ready_at_once: true,
            ..BillSettings::default()
        },
        ..SimulatorSettings::default()
    })
    .await
    .unwrap();
    let us = simulator.credentials();
    let settings = WechatSettings {
        public_key: Some(WechatPublicKey {
            id: us.public_key_id.clone(),
            pem: us.public_key_pem.clone(),
        }),
        ..settings(&simulator)
    };
    let accounts =
        WechatAccounts::new(&settings, Arc::new(SystemClock), Arc::new(RandomIds)).unwrap();
    (simulator, accounts)
}

fn number(random: u64) -> OrderNo {
    OrderNo::from(OrderId::new(Id::mint(1_795_000_000_000, random, Lane(1))))
}

fn request(order_no: OrderNo, description: &str) -> PrepayRequest {
    PrepayRequest {
        order_no,
        sub_mchid: SUB_MCHID.to_owned(),
        amount: Money::parse(1280).unwrap(),
        description: description.to_owned(),
        payer_openid: Some(Secret::new("oA".to_owned())),
        expires_at: SystemClock.now().plus_seconds(900),
        notify_path: "/notify".to_owned(),
        profit_sharing: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_without_certificates_and_odd_answers_are_lived_with() {
    let always = PerMille::ALWAYS;
    let (simulator, accounts) = with_public_key(Faults {
        no_certificates: always,
        ..Faults::default()
    })
    .await;
    accounts.refresh().await;
    let channel = accounts.account(TenantId(1));
    let order_no = number(7);
    let prepay_id = channel.prepay(request(order_no, "茶")).await;
    assert!(
        matches!(prepay_id, ChannelOutcome::Done(_)),
        "{prepay_id:?}"
    );
    // An order that nobody has paid has an amount all the same.
    let open = channel.query(order_no, SUB_MCHID).await;
    assert!(
        matches!(open, ChannelOutcome::Done(ChannelOrder::NotPaid(_))),
        "{open:?}"
    );
    // Another amount under the same number, in either of WeChat's words: refused, for good.
    for said in [PerMille::NEVER, always] {
        simulator.set_faults(Faults {
            no_certificates: always,
            number_says_used: said,
            ..Faults::default()
        });
        let dearer = PrepayRequest {
            amount: Money::parse(1281).unwrap(),
            ..request(order_no, "茶")
        };
        let refused = channel.prepay(dearer).await;
        assert!(
            matches!(&refused, ChannelOutcome::Refused(no) if matches!(no.kind, RefusalKind::Rejected | RefusalKind::Conflict)),
            "{refused:?}"
        );
    }
    // The user is at the password, in either of WeChat's words: not closed, and not now.
    simulator.set_paying(&order_no.to_string(), true).unwrap();
    let busy = channel.close(order_no, SUB_MCHID).await;
    assert!(
        matches!(&busy, ChannelOutcome::Refused(no) if no.kind == RefusalKind::RateLimited),
        "{busy:?}"
    );
    simulator.set_faults(Faults {
        close_says_paying: always,
        ..Faults::default()
    });
    let busy = channel.close(order_no, SUB_MCHID).await;
    assert!(matches!(busy, ChannelOutcome::Unknown(_)), "{busy:?}");
    let open = channel.query(order_no, SUB_MCHID).await;
    assert!(
        matches!(open, ChannelOutcome::Done(ChannelOrder::NotPaid(_))),
        "{open:?}"
    );
    simulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bill_with_strange_names_coupons_and_other_peoples_refunds_is_read_to_the_fen() {
    let (simulator, accounts) = with_public_key(Faults {
        refunds_at_once: true,
        ..Faults::default()
    })
    .await;
    let channel = accounts.account(TenantId(1));
    let names = ["茶", "`", ",`", "茶,`里`,`0.01,`SUCCESS", "\"a\",b"];
    let coupons = [
        None,
        Some(Coupon::cash(300)),
        Some(Coupon::no_cash(280)),
        None,
        None,
    ];
    for (index, (name, coupon)) in names.iter().zip(coupons).enumerate() {
        let order_no = number(u64::try_from(index).unwrap());
        let prepay_id = channel.prepay(request(order_no, name)).await;
        assert!(
            matches!(prepay_id, ChannelOutcome::Done(_)),
            "{prepay_id:?}"
        );
        let mut how = Payment::silent();
        how.coupon = coupon;
        simulator.pay(&order_no.to_string(), how).await.unwrap();
        let paid = channel.query(order_no, SUB_MCHID).await;
        assert!(
            matches!(&paid, ChannelOutcome::Done(ChannelOrder::Paid { notice, .. }) if notice.amount.get() == 1280),
            "{paid:?}"
        );
        let refund = simulator.refund_elsewhere(RefundElsewhere {
            out_trade_no: order_no.to_string(),
            refund_fen: Some(640),
            ..RefundElsewhere::default()
        });
        assert_eq!(refund.unwrap().refund_fen, 640);
    }
    let day = SystemClock.now().business_day();
    let bill = channel.bill(BillKind::Trade, day).await;
    let ChannelOutcome::Done(Some(bill)) = bill else {
        panic!("{bill:?}")
    };
    let content = bill.content.unwrap();
    assert_eq!(content.disagreements, []);
    let BillLines::Trade(lines) = content.lines else {
        panic!("another bill")
    };
    assert_eq!(lines.len(), 2 * names.len());
    for (index, name) in names.iter().enumerate() {
        let out_trade_no = number(u64::try_from(index).unwrap()).to_string();
        let mut of_order = lines
            .iter()
            .filter(|line| line.out_trade_no == out_trade_no);
        let (paid, back) = (of_order.next().unwrap(), of_order.next().unwrap());
        assert_eq!(paid.description, *name);
        assert_eq!(paid.order_fen, Some(1280));
        // What the merchant itself gave it does not get.
        let settled = if index == 2 { 1000 } else { 1280 };
        assert_eq!(paid.settled_fen, settled);
        let back = back.refund.as_ref().unwrap();
        assert_eq!(back.asked_fen, Some(640));
        assert_eq!(back.refund_fen, if index == 2 { 500 } else { 640 });
    }
    simulator.stop().await;
}
