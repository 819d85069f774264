//! Which call of the merchant API a request is, and which number it is about.
//!
//! Faults and rate limits are set by call; what goes wrong with one is drawn by its number.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::call::decoded;

/// A call of the merchant API, direct and partner alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// JSAPI prepay, by `out_trade_no`.
    Prepay,
    /// Native prepay, by `out_trade_no`.
    Native,
    /// Close, by `out_trade_no`.
    Close,
    /// Query of an order, by the number asked for.
    Query,
    /// Refund, by `out_refund_no`.
    Refund,
    /// Query of a refund, by `out_refund_no`.
    RefundQuery,
    /// Another try of an abnormal refund, by `out_refund_no`.
    AbnormalRefund,
    /// Profit sharing and unfreezing, by `out_order_no`.
    Sharing,
    /// Return of a share, by `out_return_no`.
    SharingReturn,
    /// Adding and deleting a receiver, by its account.
    SharingReceiver,
    /// Everything of profit sharing that only asks, by the number asked for.
    SharingQuery,
    /// Applying for a bill, by its kind. (The file itself is never spoiled: it is not signed.)
    Bill,
    /// The platform certificates; no number.
    Certificates,
}

impl Endpoint {
    /// Every call.
    pub const ALL: [Self; 13] = [
        Self::Prepay,
        Self::Native,
        Self::Close,
        Self::Query,
        Self::Refund,
        Self::RefundQuery,
        Self::AbnormalRefund,
        Self::Sharing,
        Self::SharingReturn,
        Self::SharingReceiver,
        Self::SharingQuery,
        Self::Bill,
        Self::Certificates,
    ];

    /// Whether it only asks.
    pub(super) fn reads(self) -> bool {
        match self {
            Self::Query
            | Self::RefundQuery
            | Self::SharingQuery
            | Self::Bill
            | Self::Certificates => true,
            Self::Prepay
            | Self::Native
            | Self::Close
            | Self::Refund
            | Self::AbnormalRefund
            | Self::Sharing
            | Self::SharingReturn
            | Self::SharingReceiver => false,
        }
    }

    /// The call behind a path below `/v3/` and its number; `None` for what is no call, and for
    /// bills on their way down. The body is only looked at, not judged.
    pub(super) fn of(get: bool, path: &[&str], body: &[u8]) -> Option<(Self, String)> {
        let field = |name: &str| {
            let body: Value = serde_json::from_slice(body).unwrap_or_default();
            body[name].as_str().unwrap_or_default().to_owned()
        };
        let named = match (get, path) {
            (true, ["certificates"]) => (Self::Certificates, String::new()),
            (true, ["bill", kind]) => (Self::Bill, (*kind).to_owned()),
            (false, ["pay", .., "jsapi"]) => (Self::Prepay, field("out_trade_no")),
            (false, ["pay", .., "native"]) => (Self::Native, field("out_trade_no")),
            (false, ["pay", .., number, "close"]) => (Self::Close, decoded(number)),
            (true, ["pay", .., number]) => (Self::Query, decoded(number)),
            (false, ["refund", "domestic", "refunds"]) => (Self::Refund, field("out_refund_no")),
            (false, ["refund", .., "apply-abnormal-refund"]) => {
                (Self::AbnormalRefund, field("out_refund_no"))
            }
            (true, ["refund", .., number]) => (Self::RefundQuery, decoded(number)),
            (false, ["profitsharing", "return-orders"]) => {
                (Self::SharingReturn, field("out_return_no"))
            }
            (false, ["profitsharing", "receivers", ..]) => {
                (Self::SharingReceiver, field("account"))
            }
            (false, ["profitsharing", ..]) => (Self::Sharing, field("out_order_no")),
            (true, ["profitsharing", .., "amounts"]) => (Self::SharingQuery, String::new()),
            (true, ["profitsharing", .., number]) => (Self::SharingQuery, decoded(number)),
            _ => return None,
        };
        Some(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_known_by_its_path() {
        let of = |get, path: &str, body: &str| {
            let path: Vec<_> = path.split('/').collect();
            Endpoint::of(get, &path, body.as_bytes())
        };
        let named = |endpoint, number: &str| Some((endpoint, number.to_owned()));
        let order = r#"{"out_trade_no":"O1"}"#;
        let refund = r#"{"out_refund_no":"R1"}"#;
        for path in ["pay/transactions/jsapi", "pay/partner/transactions/jsapi"] {
            assert_eq!(of(false, path, order), named(Endpoint::Prepay, "O1"));
        }
        let native = of(false, "pay/transactions/native", order);
        assert_eq!(native, named(Endpoint::Native, "O1"));
        let close = "pay/transactions/out-trade-no/O1/close";
        assert_eq!(of(false, close, "{}"), named(Endpoint::Close, "O1"));
        let query = "pay/partner/transactions/id/42";
        assert_eq!(of(true, query, ""), named(Endpoint::Query, "42"));
        let refunds = "refund/domestic/refunds";
        assert_eq!(of(false, refunds, refund), named(Endpoint::Refund, "R1"));
        let of_refund = "refund/domestic/refunds/R%7C1";
        assert_eq!(of(true, of_refund, ""), named(Endpoint::RefundQuery, "R|1"));
        let abnormal = "refund/domestic/refunds/503/apply-abnormal-refund";
        assert_eq!(
            of(false, abnormal, refund),
            named(Endpoint::AbnormalRefund, "R1")
        );
        let bill = of(true, "bill/tradebill", "");
        assert_eq!(bill, named(Endpoint::Bill, "tradebill"));
        assert_eq!(of(true, "billdownload/file", ""), None);
        // A body that is no JSON has no number, and is refused later.
        assert_eq!(of(false, refunds, "x"), named(Endpoint::Refund, ""));
    }
}
