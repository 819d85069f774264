//! Bills: applied for, downloaded, checked.

use std::io::Write as _;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::{FakeWechat, Says, target};
use crate::{
    payments::{Bill, BillKind, BillLines, ChannelOutcome, PaymentChannel as _, RefusalKind},
    primitives::BusinessDay,
    wechat::fixture::{channel, channel_of, settings},
};

const FILE: &str = "\u{feff}记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,业务凭证号\r\n`2026-11-20 10:00:00,`4200,`F1,`交易,`交易,`收入,`12.80,`12.80,`system,`,`V1\r\n资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额\r\n`1.0,`1.0,`12.80,`0,`0.00\r\n";

fn gzip(text: &str) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap()
}

fn sha1(text: &str) -> String {
    hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

fn application(url: &str, hash: &str) -> Says {
    let body = format!(r#"{{"hash_type":"SHA1","hash_value":"{hash}","download_url":"{url}"}}"#);
    Says::signed(200, &body)
}

fn day() -> BusinessDay {
    BusinessDay::parse("2026-11-20").unwrap()
}

/// A server that is asked for a bill and then for its file.
async fn fetch(
    kind: BillKind,
    answers: impl FnOnce(&str) -> Vec<Says>,
) -> (ChannelOutcome<Option<Bill>>, Vec<String>) {
    let server = FakeWechat::new(Vec::new()).await;
    server.say(answers(&server.address));
    let outcome = channel(&server.address).bill(kind, day()).await;
    (outcome, server.asked())
}

fn is_unknown(outcome: &ChannelOutcome<Option<Bill>>, because: &str) -> bool {
    matches!(outcome, ChannelOutcome::Unknown(reason) if reason.contains(because))
}

#[tokio::test]
async fn a_bill_is_downloaded_unsigned_and_checked_by_its_hash() {
    for file in [gzip(FILE), FILE.as_bytes().to_vec()] {
        let (outcome, asked) = fetch(BillKind::FundFlow, |base| {
            let url = format!("{base}/v3/billdownload/file?token=a%2Bb&tartype=gzip");
            let hash = sha1(FILE).to_uppercase();
            vec![application(&url, &hash), Says::unsigned(200, &file)]
        })
        .await;
        let ChannelOutcome::Done(Some(bill)) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(
            (bill.file.as_slice(), bill.sha1),
            (FILE.as_bytes(), sha1(FILE))
        );
        let content = bill.content.unwrap();
        assert_eq!(content.disagreements, []);
        let BillLines::FundFlow(lines) = content.lines else {
            panic!("{:?}", content.lines)
        };
        assert_eq!((lines.len(), lines[0].change_fen), (1, 1280));
        assert_eq!(
            asked
                .iter()
                .map(|request| target(request))
                .collect::<Vec<_>>(),
            [
                "GET /v3/bill/fundflowbill?bill_date=2026-11-20&account_type=BASIC&tar_type=GZIP",
                // As it was given, byte for byte.
                "GET /v3/billdownload/file?token=a%2Bb&tartype=gzip",
            ]
        );
        assert!(asked[1].contains("WECHATPAY2-SHA256-RSA2048"));
    }
}

#[tokio::test]
async fn a_file_that_is_not_the_announced_one_is_not_read() {
    let with = async |file: &[u8], hash: &str| {
        fetch(BillKind::FundFlow, |base| {
            let url = format!("{base}/file");
            vec![application(&url, hash), Says::unsigned(200, file)]
        })
        .await
        .0
    };
    let changed = FILE.replace("12.80", "12.81");
    let outcome = with(changed.as_bytes(), &sha1(FILE)).await;
    assert!(is_unknown(&outcome, "another SHA-1"), "{outcome:?}");
    let packed = gzip(FILE);
    let outcome = with(&packed[..packed.len() - 9], &sha1(FILE)).await;
    assert!(is_unknown(&outcome, "decompressed"), "{outcome:?}");
    let outcome = with(b"x", "").await;
    assert!(is_unknown(&outcome, "no SHA-1"), "{outcome:?}");
    // What is announced and is no bill is kept for whoever can make sense of it.
    let ChannelOutcome::Done(Some(bill)) = with(b"x", &sha1("x")).await else {
        panic!("the file is thrown away")
    };
    assert_eq!(bill.file, b"x");
    let error = bill.content.unwrap_err().to_string();
    assert!(error.contains("line 1"), "{error}");
}

#[tokio::test]
async fn our_signature_goes_to_our_hosts_only() {
    let foreign = FakeWechat::new(vec![Says::unsigned(200, FILE.as_bytes())]).await;
    let url = format!("{}/file", foreign.address);
    let (outcome, _) = fetch(BillKind::FundFlow, |_| vec![application(&url, &sha1(FILE))]).await;
    assert!(is_unknown(&outcome, "somebody else's"), "{outcome:?}");
    assert!(foreign.asked().is_empty());

    // The stand-in is ours.
    let server = FakeWechat::new(vec![application(&url, &sha1(FILE))]).await;
    let mut settings = settings(&server.address);
    settings.backup_url = Some(foreign.address.parse().unwrap());
    let outcome = channel_of(&settings).bill(BillKind::FundFlow, day()).await;
    assert!(
        matches!(outcome, ChannelOutcome::Done(Some(_))),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn an_empty_day_and_one_that_is_not_ready_are_distinguished() {
    let none = Says::signed(400, r#"{"code":"NO_STATEMENT_EXIST"}"#);
    let (outcome, asked) = fetch(BillKind::Trade, |_| vec![none.clone()]).await;
    assert!(matches!(outcome, ChannelOutcome::Done(None)), "{outcome:?}");
    assert_eq!(
        target(&asked[0]),
        "GET /v3/bill/tradebill?bill_date=2026-11-20&bill_type=ALL&tar_type=GZIP"
    );
    let unsigned = none.by(super::Signs::Nobody);
    let (outcome, _) = fetch(BillKind::Trade, |_| vec![unsigned]).await;
    assert!(matches!(outcome, ChannelOutcome::Unknown(_)), "{outcome:?}");

    let creating = Says::signed(400, r#"{"code":"STATEMENT_CREATING"}"#);
    let (outcome, asked) = fetch(BillKind::Trade, |_| vec![creating]).await;
    let ChannelOutcome::Refused(no) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((no.kind, asked.len()), (RefusalKind::RateLimited, 1));
}

#[tokio::test]
async fn an_address_that_has_died_is_asked_for_again() {
    let (outcome, asked) = fetch(BillKind::FundFlow, |base| {
        let apply = || application(&format!("{base}/file"), &sha1(FILE));
        let dead = Says::unsigned(400, br#"{"code":"INVALID_REQUEST"}"#);
        vec![apply(), dead, apply(), Says::unsigned(200, FILE.as_bytes())]
    })
    .await;
    assert!(
        matches!(outcome, ChannelOutcome::Done(Some(_))),
        "{outcome:?}"
    );
    assert_eq!(asked.len(), 4);
}
