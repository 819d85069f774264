//! Shipping reports (发货信息管理, §13.5): a mini-program of the transaction kind must say of every
//! payment how the goods reached the customer, or the merchant's money stays frozen.

use serde::Serialize;
use time::macros::{format_description, offset};

use super::{MiniProgram, call::nothing_more};
use crate::{
    deliveries::{Handover, ShippingReport},
    payments::{ChannelOutcome, RefusalKind},
    primitives::Timestamp,
};

/// A payment is found by WeChat's number. By ours it would take the merchant number under which it
/// was ordered, which in partner mode is the merchant's.
const BY_TRANSACTION: u8 = 2;
/// All in one piece.
const UNIFIED: u8 = 1;
/// Characters of the description of what was sold.
const ITEM_MAX: usize = 120;

/// WeChat does not know the payment *yet*: it takes up to a minute to get there.
const ABSENT: &str = "10060001";
/// Reported already, reported twice already, reported with nothing new: an earlier call got there
/// and its answer was lost.
const REPORTED: [&str; 3] = ["10060002", "10060003", "10060023"];
/// WeChat's own trouble.
const SYSTEM_ERROR: &str = "10060012";

#[derive(Serialize)]
struct Request<'a> {
    order_key: OrderKey<'a>,
    logistics_type: u8,
    delivery_mode: u8,
    shipping_list: [Item; 1],
    upload_time: String,
    payer: Payer<'a>,
}

#[derive(Serialize)]
struct OrderKey<'a> {
    order_number_type: u8,
    transaction_id: &'a str,
}

#[derive(Serialize)]
struct Item {
    item_desc: String,
}

#[derive(Serialize)]
struct Payer<'a> {
    openid: &'a str,
}

impl MiniProgram {
    pub(super) async fn upload_shipping(&self, report: &ShippingReport) -> ChannelOutcome<()> {
        let request = Request {
            order_key: OrderKey {
                order_number_type: BY_TRANSACTION,
                transaction_id: &report.wechat_transaction_id,
            },
            logistics_type: match report.handover {
                Handover::Virtual => 3,
                Handover::SelfPickup => 4,
            },
            delivery_mode: UNIFIED,
            shipping_list: [Item {
                item_desc: report.item.chars().take(ITEM_MAX).collect(),
            }],
            upload_time: upload_time(report.at),
            payer: Payer {
                openid: report.openid.expose(),
            },
        };
        let path = ["wxa", "sec", "order", "upload_shipping_info"];
        match nothing_more(self.post("shipping", &path, &request).await) {
            ChannelOutcome::Refused(no) if REPORTED.contains(&no.code.as_str()) => {
                ChannelOutcome::Done(())
            }
            ChannelOutcome::Refused(no) if no.code == SYSTEM_ERROR => {
                ChannelOutcome::Unknown(format!("{} {}", no.code, no.message))
            }
            ChannelOutcome::Refused(mut no) => {
                if no.code == ABSENT {
                    no.kind = RefusalKind::Absent;
                }
                ChannelOutcome::Refused(no)
            }
            outcome @ (ChannelOutcome::Done(()) | ChannelOutcome::Unknown(_)) => outcome,
        }
    }
}

/// RFC 3339 with milliseconds, always three digits, at Beijing's offset, as WeChat's own examples
/// have it.
fn upload_time(at: Timestamp) -> String {
    let format = format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]+08:00"
    );
    at.datetime()
        .to_offset(offset!(+8))
        .format(format)
        .unwrap_or_default() // every part of it is in every date
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_has_three_digits_whatever_the_instant() {
        let at = |text| upload_time(Timestamp::parse_rfc3339(text).unwrap());
        assert_eq!(at("2026-11-21T02:34:56Z"), "2026-11-21T10:34:56.000+08:00");
        assert_eq!(
            at("2026-11-21T18:00:00.123456Z"),
            "2026-11-22T02:00:00.123+08:00"
        );
    }
}
