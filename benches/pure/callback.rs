//! RSA: what WeChat sends is verified and decrypted, what it is sent is signed.

use std::{hint::black_box, sync::Arc};

use criterion::Criterion;
use secrecy::ExposeSecret as _;
use wechat_pay_simulator::{Addresses, CallbackFactory, KeyKind, KeySet, WallClock};
use zhangfang::{
    config::{WechatFiles, WechatMode, WechatPublicKey, WechatSettings},
    payments::{NoticeBody, NoticeHeaders, PaymentChannel as _},
    primitives::{Clock as _, RandomIds, Secret, SystemClock},
    wechat::WechatChannel,
};

pub(crate) fn measure(criterion: &mut Criterion) {
    let keys = Arc::new(KeySet::generate().unwrap());
    let channel = channel(&keys);
    let factory = CallbackFactory::new(keys, WallClock::system());
    let notice = factory.notice(
        "06D8R5MKTS7J0T4V3C9Q2W00",
        factory.transaction_id(),
        1_288,
        "1900000109",
        "oBench000000000000000000000",
    );
    let signed = factory.sign(&notice, KeyKind::PublicKey);
    let header = |name: &str| signed.headers.get(name)?.to_str().ok();
    let headers = NoticeHeaders {
        timestamp: header("wechatpay-timestamp"),
        nonce: header("wechatpay-nonce"),
        signature: header("wechatpay-signature"),
        serial: header("wechatpay-serial"),
        signature_type: header("wechatpay-signature-type"),
    };
    // The instant of its signing, however long the measurement takes.
    let now = SystemClock.now();
    let read = |body: &[u8]| channel.read_notice(headers, body, now).unwrap().body;
    assert!(matches!(read(&signed.body), NoticeBody::Paid(_)));

    let mut group = criterion.benchmark_group("callback");
    group.bench_function("verify_and_decrypt", |bencher| {
        bencher.iter(|| read(black_box(&signed.body)));
    });
    group.bench_function("sign_pay_parameters", |bencher| {
        let prepay_id = "wx201410272009395522657a690389285100";
        bencher.iter(|| channel.pay_parameters(black_box(prepay_id), now));
    });
    group.finish();
}

fn channel(keys: &KeySet) -> WechatChannel {
    let here: url::Url = "http://127.0.0.1:1/".parse().unwrap();
    let us = keys
        .credentials(Addresses {
            pay_url: here.clone(),
            mini_program_url: here.clone(),
            notify_base: None,
        })
        .unwrap();
    let settings = WechatSettings {
        mode: WechatMode::Partner,
        pay_url: here.clone(),
        backup_url: None,
        mini_program_url: here.clone(),
        app_id: us.app_id.clone(),
        app_secret: Secret::new("x".to_owned()),
        sp_mchid: us.sp_mchid.clone(),
        merchant_serial: us.merchant_serial.clone(),
        private_key_pem: Secret::new(us.private_key_pem.expose_secret().to_owned()),
        apiv3_key: Secret::new(us.apiv3_key.expose_secret().to_owned()),
        apiv3_key_old: None,
        public_key: Some(WechatPublicKey {
            id: us.public_key_id.clone(),
            pem: us.public_key_pem.clone(),
        }),
        platform_certificates_pem: None,
        fetch_certificates: false,
        notify_base: here,
        tenants_dir: None,
        files: WechatFiles::default(),
        allow_loopback_http: true,
    };
    WechatChannel::new(&settings, Arc::new(SystemClock), Arc::new(RandomIds)).unwrap()
}
