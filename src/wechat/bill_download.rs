//! Requests, downloads and checks bills (§6).
//!
//! WeChat makes a day's bill the next morning (available from ten o'clock in Beijing) and returns
//! an address that is valid for minutes. The file is the only answer that WeChat does not sign; the
//! signed answer before it states the SHA-1 of the uncompressed file. We sign requests to our
//! configured hosts only, whatever address is returned.

use std::io::Read as _;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use flate2::read::MultiGzDecoder;
use reqwest::Method;
use serde::Deserialize;
use url::Url;

use super::{
    WechatChannel,
    answer::{CallAnswer, is_no_bill, unclear},
    bill::parse_bill,
    breaker::Class,
    retry::RetryPolicy,
    transport::{Call, Target},
};
use crate::{
    payments::{Bill, BillKind, ChannelOutcome, UnreadableBill},
    primitives::BusinessDay,
};

/// A bill is not larger than this. What is compressed may pretend to be anything.
const FILE_MAX_BYTES: u64 = 512 << 20;

/// The address dies quickly; it may be asked for once more.
const APPLICATIONS_MAX: u32 = 2;

impl WechatChannel {
    pub(super) async fn fetch_bill(
        &self,
        kind: BillKind,
        day: BusinessDay,
    ) -> ChannelOutcome<Option<Bill>> {
        let mut applications = 1;
        loop {
            let location = match self.apply_for_bill(kind, day).await {
                ChannelOutcome::Done(Some(location)) => location,
                ChannelOutcome::Done(None) => return ChannelOutcome::Done(None),
                ChannelOutcome::Refused(no) => return ChannelOutcome::Refused(no),
                ChannelOutcome::Unknown(reason) => return ChannelOutcome::Unknown(reason),
            };
            let call = Call {
                name: "bill_download",
                class: Class::Bill,
                retry: RetryPolicy::Read,
                method: Method::GET,
                target: Target::File(location.url),
                body: None,
            };
            let sent = match self.transport.call(call).await {
                CallAnswer::Done(sent) => sent,
                CallAnswer::Refused(_) if applications < APPLICATIONS_MAX => {
                    applications = applications.saturating_add(1);
                    continue;
                }
                // That a file is not to be had is no answer about the day.
                CallAnswer::Refused(no) => return unclear(format!("the download: {}", no.code)),
                CallAnswer::Unknown(unknown) => return ChannelOutcome::Unknown(unknown.reason),
            };
            // A large file keeps a core busy for a second.
            let opened =
                tokio::task::spawn_blocking(move || open(kind, day, sent, location.sha1)).await;
            return match opened {
                Ok(Ok(bill)) => ChannelOutcome::Done(Some(bill)),
                Ok(Err(reason)) => ChannelOutcome::Unknown(reason),
                Err(_) => unclear("reading the bill was interrupted"),
            };
        }
    }

    async fn apply_for_bill(
        &self,
        kind: BillKind,
        day: BusinessDay,
    ) -> ChannelOutcome<Option<DownloadLocation>> {
        let day = day.to_string();
        let (path, which) = match kind {
            BillKind::Trade => ("tradebill", ("bill_type", "ALL")),
            BillKind::FundFlow => ("fundflowbill", ("account_type", "BASIC")),
        };
        let (path, query) = (
            ["v3", "bill", path],
            [("bill_date", day.as_str()), which, ("tar_type", "GZIP")],
        );
        let call = Call::get("bill_apply", Class::Bill, &path, &query);
        match self.transport.call(call).await {
            CallAnswer::Refused(no) if is_no_bill(&no.code) => ChannelOutcome::Done(None),
            answer @ (CallAnswer::Done(_) | CallAnswer::Refused(_) | CallAnswer::Unknown(_)) => {
                answer.outcome(|body| match self.location(body) {
                    Ok(location) => ChannelOutcome::Done(Some(location)),
                    Err(reason) => unclear(reason),
                })
            }
        }
    }

    fn location(&self, body: &[u8]) -> Result<DownloadLocation, &'static str> {
        let said: Application =
            serde_json::from_slice(body).map_err(|_| "the answer names no file")?;
        let sha1 = said.hash_value.to_ascii_lowercase();
        if !said.hash_type.eq_ignore_ascii_case("SHA1")
            || sha1.len() != 40
            || !sha1.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return Err("the answer states no SHA-1 of the file");
        }
        let url = Url::parse(&said.download_url).map_err(|_| "the file's address is none")?;
        if self.transport.is_ours(&url) {
            Ok(DownloadLocation { url, sha1 })
        } else {
            Err("the file is at somebody else's: not asked for")
        }
    }
}

/// The answer to an application.
#[derive(Deserialize)]
struct Application {
    hash_type: String,
    hash_value: String,
    download_url: String,
}

/// Where a file is and what it hashes to, in lower case. The address carries a token and is not
/// printed.
struct DownloadLocation {
    url: Url,
    sha1: String,
}

/// Decompresses, compares the hash, reads. A file that is the announced one is kept, whether or not
/// it can be read.
fn open(kind: BillKind, day: BusinessDay, sent: Vec<u8>, sha1: String) -> Result<Bill, String> {
    let file = plain(sent, FILE_MAX_BYTES)?;
    let found = hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &file));
    if found != sha1 {
        return Err("the file is not the one that was announced: another SHA-1".to_owned());
    }
    let content = parse_bill(kind, day, &file).map_err(|error| UnreadableBill(error.to_string()));
    Ok(Bill {
        kind,
        day,
        file,
        sha1,
        content,
    })
}

/// The file before compression. WeChat may send it uncompressed although asked otherwise.
fn plain(sent: Vec<u8>, max_bytes: u64) -> Result<Vec<u8>, String> {
    if !sent.starts_with(&[0x1f, 0x8b]) {
        return Ok(sent);
    }
    let mut file = Vec::new();
    let taken = MultiGzDecoder::new(sent.as_slice())
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut file)
        .map_err(|_| "the file is not whole: it cannot be decompressed".to_owned())?;
    if u64::try_from(taken).is_ok_and(|taken| taken <= max_bytes) {
        Ok(file)
    } else {
        Err(format!("the file is longer than {max_bytes} bytes"))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut writer = GzEncoder::new(Vec::new(), Compression::default());
        writer.write_all(plain).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn a_file_is_decompressed_up_to_a_bound() {
        assert_eq!(plain(gzip(b"a bill"), 6).unwrap(), b"a bill");
        assert_eq!(plain(b"a bill".to_vec(), 6).unwrap(), b"a bill");
        assert!(plain(gzip(b"a bill"), 5).unwrap_err().contains("5 bytes"));
        // Three kilobytes that would be three megabytes.
        let bomb = gzip(&vec![0; 3 << 20]);
        assert!(bomb.len() < 8192 && plain(bomb, 1 << 20).is_err());
        let mut cut = gzip(b"a bill");
        cut.truncate(cut.len() - 3);
        assert!(plain(cut, 6).is_err());
    }
}
