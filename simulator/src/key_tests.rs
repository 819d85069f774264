//! Keys on the move, from outside.

use http::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};
use time::macros::datetime;

use super::apiv3::Apiv3Cipher;
use super::test_merchant::{Answer, Merchant};
use super::*;

const CERTIFICATES: &str = "/v3/certificates";
const NEW_KEY: &str = "0123456789abcdef0123456789ABCDEF";

async fn start() -> Merchant {
    let at = datetime!(2026-11-21 12:00:00 +8);
    Merchant::start(at, SimulatorSettings::default()).await
}

async fn certificates(merchant: &Merchant, serial: Option<&str>) -> Answer {
    let reply = merchant.call(Method::GET, CERTIFICATES, "", serial).await;
    assert_eq!(reply.status, StatusCode::OK);
    reply
}

fn listed(reply: &Answer) -> Vec<Value> {
    reply.json()["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_second_certificate_is_listed_and_signs_its_share() {
    let merchant = start().await;
    let keys = &merchant.keys;
    assert_eq!(listed(&certificates(&merchant, None).await).len(), 1);
    let serial = merchant.simulator.rotate_certificate();
    assert_eq!(serial, merchant.simulator.rotate_certificate());
    let reply = certificates(&merchant, None).await;
    // Listed first, used later.
    assert!(reply.is_signed_by(KeyKind::Certificate));
    let both = listed(&reply);
    assert_eq!(both.len(), 2);
    assert_eq!(both[1]["serial_no"], serial.as_str());
    for (entry, kind) in both
        .iter()
        .zip([KeyKind::Certificate, KeyKind::NextCertificate])
    {
        let part = |name: &str| entry["encrypt_certificate"][name].as_str().unwrap();
        let plain = keys.decrypt(part("nonce"), part("associated_data"), part("ciphertext"));
        let pem = String::from_utf8(plain.unwrap()).unwrap();
        let der = super::rsa::pem_decode(&pem).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert_eq!(parsed.public_key().raw, keys.wechat(kind).spki_der());
        assert_eq!(
            hex::encode_upper(parsed.raw_serial()),
            entry["serial_no"].as_str().unwrap()
        );
    }
    // Who names a certificate knows it; who names the public key has no part in it.
    let reply = certificates(&merchant, Some(&serial)).await;
    assert!(reply.is_signed_by(KeyKind::NextCertificate));
    merchant.simulator.set_key_shares(KeyShares {
        next_certificate: PerMille::ALWAYS,
        ..KeyShares::default()
    });
    let old = keys.serial(KeyKind::Certificate);
    let reply = certificates(&merchant, Some(old)).await;
    assert!(reply.is_signed_by(KeyKind::NextCertificate));
    let public = keys.serial(KeyKind::PublicKey);
    let reply = certificates(&merchant, Some(public)).await;
    assert!(reply.is_signed_by(KeyKind::PublicKey));

    merchant.simulator.set_key_shares(KeyShares {
        next_certificate: PerMille::new(300),
        ..KeyShares::default()
    });
    let mut new = 0;
    for _ in 0..60 {
        let reply = certificates(&merchant, None).await;
        new += u32::from(reply.is_signed_by(KeyKind::NextCertificate));
    }
    assert!((5..40).contains(&new), "{new} of 60");
}

#[tokio::test]
async fn another_simulator_with_the_same_keys_knows_nothing_of_it() {
    let (one, two) = (start().await, start().await);
    let serial = one.simulator.rotate_certificate();
    assert_eq!(listed(&certificates(&two, None).await).len(), 1);
    let reply = two.call(Method::GET, CERTIFICATES, "", Some(&serial)).await;
    assert_eq!(reply.json()["code"], "PARAM_ERROR");
}

#[tokio::test]
async fn callbacks_use_the_new_keys_by_share() {
    let merchant = start().await;
    merchant.paid("ORDER-1", 100, json!({})).await;
    let simulator = &merchant.simulator;
    let serial = simulator.rotate_certificate();
    let key = SecretString::from(NEW_KEY);
    let short = SecretString::from("too short");
    assert!(simulator.change_apiv3_key(&short).is_err());
    simulator.change_apiv3_key(&key).unwrap();
    let opened = || {
        let callback = simulator.callback_for("ORDER-1").unwrap();
        let body: Value = serde_json::from_slice(&callback.body).unwrap();
        let part = |name: &str| body["resource"][name].as_str().unwrap().to_owned();
        let parts = (part("nonce"), part("associated_data"), part("ciphertext"));
        let old = merchant.keys.decrypt(&parts.0, &parts.1, &parts.2);
        let new = Apiv3Cipher::new(&key).unwrap();
        let new = new.decrypt(&parts.0, &parts.1, &parts.2);
        let signer = callback.headers["wechatpay-serial"].to_str().unwrap();
        (old.is_some(), new.is_some(), signer.to_owned())
    };
    let public = merchant.keys.serial(KeyKind::PublicKey).to_owned();
    assert_eq!(opened(), (true, false, public));
    simulator.set_key_shares(KeyShares {
        next_certificate: PerMille::ALWAYS,
        next_apiv3: PerMille::ALWAYS,
    });
    simulator.set_faults(Faults {
        callback_key: CallbackKey::Certificate,
        ..Faults::default()
    });
    assert_eq!(opened(), (false, true, serial));
    simulator.set_key_shares(KeyShares::default());
    let old = merchant.keys.serial(KeyKind::Certificate).to_owned();
    assert_eq!(opened(), (true, false, old));
}

#[test]
fn the_share_of_the_public_key_is_a_switch() {
    let of = |share| {
        let faults = Faults {
            callback_key: CallbackKey::Mixed,
            callback_public_key: share,
            ..Faults::default()
        };
        let kind = |n: u32| faults.draw(7, &n.to_string()).1;
        (0..1_000)
            .filter(|n| kind(*n) == KeyKind::PublicKey)
            .count()
    };
    assert_eq!((of(PerMille::NEVER), of(PerMille::ALWAYS)), (0, 1_000));
    let tenth = of(PerMille::new(100));
    assert!((50..200).contains(&tenth), "{tenth}");
}

#[tokio::test]
async fn the_control_call_shows_no_key() {
    let merchant = start().await;
    let url = merchant.simulator.base_url().join("/sim/keys").unwrap();
    let put = async |body: Value| {
        let http = reqwest::Client::new();
        let answer = http.put(url.clone()).json(&body).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let change = json!({
        "rotate_certificate": true, "apiv3_key": NEW_KEY, "next_certificate": 10,
        "next_apiv3": 1000,
    });
    let (status, text) = put(change).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    assert!(!text.contains(NEW_KEY));
    let reply: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(reply["certificates"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&reply["next_certificate"], &reply["next_apiv3"]),
        (&json!(10), &json!(1000))
    );
    let (_, text) = put(json!({"callback_public_key": 50})).await;
    let reply: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&reply["callback_key"], &reply["callback_public_key"]),
        (&json!("mixed"), &json!(50))
    );
    let faults = merchant.simulator.faults();
    assert_eq!(faults.callback_key, CallbackKey::Mixed);
    merchant.simulator.share_callbacks(PerMille::ALWAYS);
    assert_eq!(
        merchant.simulator.faults().callback_public_key,
        PerMille::ALWAYS
    );
    // What is left out stays.
    let (_, text) = put(json!({"next_certificate": 20})).await;
    let reply: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&reply["next_certificate"], &reply["next_apiv3"]),
        (&json!(20), &json!(1000))
    );
    let (status, text) = put(json!({"apiv3_key": "short"})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
    assert!(!put(json!({"surprise": 1})).await.0.is_success());
}
