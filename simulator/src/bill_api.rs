//! Bills: asked for, made out of what really happened, and fetched by another address.
//!
//! A day's bill is there at ten in the morning of the next day, in Beijing; three months later it
//! is gone. What a bill says of a refund is frozen at nine, when WeChat makes it. The address works
//! five minutes, as often as one likes; the file comes unsigned, and its hash, given with the
//! address, is over the plain text even if it comes as gzip. Rules:
//! pay.weixin.qq.com/doc/v3/partner/4012084430.

use std::io::Write;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::StatusCode;
use serde_json::json;
use time::format_description::BorrowedFormatItem;
use time::macros::{format_description, offset};
use time::{Date, Duration, Month};

use super::answer::{Answer, Refusal};
use super::bill_lines::{flows, trades};
use super::bills::Ready;
use super::call::Call;
use super::fund_flow;
use super::lock::lock;
use super::state::Shared;
use super::trade_bill::{self, BillType};

/// More files than this do not wait; who asks for more is told to come again.
const READY_MAX: usize = 256;

/// `GET /v3/bill/tradebill`.
pub(super) fn trade(shared: &Shared, call: &Call<'_>) -> Result<Answer, Refusal> {
    let bill_type = match call.parameter("bill_type").as_deref() {
        None | Some("ALL") => BillType::All,
        Some("SUCCESS") => BillType::Success,
        Some("REFUND") => BillType::Refund,
        Some(_) => return Err(Refusal::param("参数错误，bill_type取值不在枚举范围内")),
    };
    let sub_mchid = call.parameter("sub_mchid");
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if sub_mchid.as_deref().is_some_and(|mchid| !digits(mchid)) {
        return Err(invalid("参数错误，请检查sub_mchid"));
    }
    let gzip = gzip(call)?;
    let day = ready_day(shared, call)?;
    let mut trades = trades(shared, day, sub_mchid.as_deref());
    trades.retain(|trade| match bill_type {
        BillType::All => true,
        BillType::Success => trade.refund.is_none(),
        BillType::Refund => trade.refund.is_some(),
    });
    if trades.is_empty() {
        return Err(no_statement());
    }
    trades.sort_by(|a, b| (a.at, &a.transaction_id).cmp(&(b.at, &b.transaction_id)));
    let early = shared.bills.settings().early_era;
    offer(
        shared,
        call,
        gzip,
        trade_bill::write(bill_type, early, &trades),
    )
}

/// `GET /v3/bill/fundflowbill`.
pub(super) fn fund_flow(shared: &Shared, call: &Call<'_>) -> Result<Answer, Refusal> {
    let basic = match call.parameter("account_type").as_deref() {
        None | Some("BASIC") => true,
        Some("OPERATION" | "FEES") => false,
        Some(_) => return Err(Refusal::param("参数错误，account_type取值不在枚举范围内")),
    };
    let gzip = gzip(call)?;
    let day = ready_day(shared, call)?;
    // Nothing ever moves on the other two accounts.
    let flows = if basic { flows(shared) } else { Vec::new() };
    let file = fund_flow::write(shared.keys.sp_mchid(), day, flows).ok_or_else(no_statement)?;
    offer(shared, call, gzip, file)
}

/// `GET /v3/billdownload/file?token=`.
pub(super) fn download(shared: &Shared, call: &Call<'_>) -> Result<Answer, Refusal> {
    let token = call.required_parameter("token")?;
    let now = shared.clock.now();
    let mut ready = lock(&shared.bills.ready);
    ready.retain(|_, file| file.expires_at > now);
    let file = ready
        .get(&token)
        .ok_or_else(|| invalid("账单下载地址已失效，请重新申请"))?;
    Ok(Answer::File(file.content_type, file.bytes.clone()))
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message)
}

fn no_statement() -> Refusal {
    let status = StatusCode::BAD_REQUEST;
    Refusal::new(status, "NO_STATEMENT_EXIST", "请求的账单文件不存在")
}

fn gzip(call: &Call<'_>) -> Result<bool, Refusal> {
    match call.parameter("tar_type").as_deref() {
        None => Ok(false),
        Some("GZIP") => Ok(true),
        Some(_) => Err(Refusal::param("参数错误，tar_type取值不在枚举范围内")),
    }
}

const DAY: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

/// `bill_date`, if its bill is there.
fn ready_day(shared: &Shared, call: &Call<'_>) -> Result<Date, Refusal> {
    let text = call.required_parameter("bill_date")?;
    let wrong = || invalid("参数错误，请检查bill_date");
    let day = Date::parse(&text, DAY).map_err(|_| wrong())?;
    let now = shared.clock.now().to_offset(offset!(+8));
    let today = now.date();
    if day > today {
        return Err(wrong());
    }
    if day < three_months_before(today) {
        return Err(invalid("仅支持三个月内的账单下载申请，请检查bill_date"));
    }
    let since_ten = now - Duration::hours(10);
    if day >= since_ten.date() && !shared.bills.settings().ready_at_once {
        let status = StatusCode::BAD_REQUEST;
        return Err(Refusal::new(status, "STATEMENT_CREATING", "账单生成中"));
    }
    Ok(day)
}

/// The same day of the month three months ago, or the last day that month has.
fn three_months_before(day: Date) -> Date {
    let (mut year, mut month) = (day.year(), day.month());
    for _ in 0..3 {
        if month == Month::January {
            year -= 1;
        }
        month = month.previous();
    }
    let number = day.day().min(month.length(year));
    Date::from_calendar_date(year, month, number).unwrap_or(day)
}

/// Keeps the file for a while and says where.
fn offer(shared: &Shared, call: &Call<'_>, gzip: bool, plain: Vec<u8>) -> Result<Answer, Refusal> {
    let hash = hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &plain));
    let (content_type, bytes) = if gzip {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let packed = encoder.write_all(&plain).and_then(|()| encoder.finish());
        (
            "application/x-gzip",
            packed.expect("memory takes what is written"),
        )
    } else {
        ("text/plain; charset=utf-8", plain)
    };
    let now = shared.clock.now();
    let life = Duration::seconds(shared.bills.settings().url_seconds.into());
    let token = shared.ids.token();
    let mut ready = lock(&shared.bills.ready);
    ready.retain(|_, file| file.expires_at > now);
    if ready.len() >= READY_MAX {
        let status = StatusCode::TOO_MANY_REQUESTS;
        return Err(Refusal::new(status, "FREQUENCY_LIMITED", "频率超限"));
    }
    let file = Ready {
        expires_at: now.saturating_add(life),
        content_type,
        bytes,
    };
    ready.insert(token.clone(), file);
    // The caller's own name for this listener: a client follows no other host than its base
    // address.
    let host = call.host.unwrap_or("localhost");
    let packed = if gzip { "&tartype=gzip" } else { "" };
    Ok(Answer::ok(&json!({
        "hash_type": "SHA1",
        "hash_value": hash,
        "download_url": format!("http://{host}/v3/billdownload/file?token={token}{packed}"),
    })))
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn three_months_end_within_a_shorter_month() {
        assert_eq!(
            three_months_before(date!(2026 - 05 - 31)),
            date!(2026 - 02 - 28)
        );
        assert_eq!(
            three_months_before(date!(2026 - 01 - 15)),
            date!(2025 - 10 - 15)
        );
    }
}
