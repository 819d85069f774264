//! The client of WeChat Pay against the simulator, without a database.

use std::sync::Arc;

use secrecy::ExposeSecret as _;
use zhangfang::{
    config::{WechatFiles, WechatMode, WechatSettings},
    payments::{
        ChannelOrder, Gateway as _, NoticeBody, NoticeError, NoticeHeaders, Outcome, PrepayRequest,
    },
    primitives::{
        Clock as _, Id, Lane, Money, OrderId, OrderNo, RandomIds, Secret, SystemClock, TenantId,
    },
    simulator::{CallbackKey, Faults, Payment, SignedCallback, Simulator, SimulatorSettings},
    wechat::{WechatAccounts, WechatGateway},
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

fn read(gateway: &WechatGateway, callback: &SignedCallback) -> Result<NoticeBody, NoticeError> {
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
    let notice = gateway.read_notice(headers, &callback.body, SystemClock.now())?;
    Ok(notice.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_learnt_from_wechat_and_then_a_payment_is_believed() {
    let simulator = Simulator::start(SimulatorSettings {
        faults: Faults {
            callback_key: CallbackKey::Certificate,
            ..Faults::default()
        },
        ..SimulatorSettings::default()
    })
    .await
    .unwrap();
    let shop = "1900000109";
    let order_no = OrderNo::from(OrderId::new(Id::mint(1_795_000_000_000, 7, Lane(1))));
    let accounts = WechatAccounts::new(
        &settings(&simulator),
        Arc::new(SystemClock),
        Arc::new(RandomIds),
    )
    .unwrap();
    let gateway = accounts.account(TenantId(1));
    let absent = || gateway.query(order_no, shop);

    // Nothing can be believed yet.
    let before = absent().await;
    assert!(matches!(before, Outcome::Unknown(_)), "{before:?}");
    accounts.refresh().await;
    let after = absent().await;
    assert!(
        matches!(after, Outcome::Done(ChannelOrder::Absent)),
        "{after:?}"
    );

    let ticket = gateway
        .prepay(PrepayRequest {
            order_no,
            sub_mchid: shop.to_owned(),
            amount: Money::parse(1280).unwrap(),
            description: "茶".to_owned(),
            payer_openid: Some(Secret::new("oA".to_owned())),
            expires_at: SystemClock.now().plus_seconds(900),
            notify_path: "/notify".to_owned(),
            profit_sharing: false,
        })
        .await;
    assert!(matches!(ticket, Outcome::Done(_)), "{ticket:?}");
    let number = order_no.to_string();
    simulator.pay(&number, Payment::silent()).await.unwrap();
    let paid = gateway.query(order_no, shop).await;
    let Outcome::Done(ChannelOrder::Paid { notice, refunded }) = paid else {
        panic!("{paid:?}")
    };
    assert_eq!((notice.amount.get(), refunded), (1280, false));
    let by_id = gateway
        .query_by_transaction(&notice.wechat_transaction_id, shop)
        .await;
    assert!(
        matches!(by_id, Outcome::Done(ChannelOrder::Paid { .. })),
        "{by_id:?}"
    );
    let callback = simulator.callback_for(&number).unwrap();
    let told = read(&gateway, &callback).unwrap();
    assert!(
        matches!(&told, NoticeBody::Paid(paid) if *paid == notice),
        "{told:?}"
    );
    simulator.stop().await;
}
