//! The port to the channel, in our words. `wechat/` implements it; nothing here knows how.

use std::fmt::Debug;

use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::primitives::{Money, OrderNo, Secret, Timestamp};

/// What became of a call that changes something elsewhere. Three outcomes, which no caller can confuse.
#[derive(Debug)]
pub enum Outcome<T> {
    /// It happened, and the answer is proven to be the channel's.
    Done(T),
    /// It did not happen and will not: the channel said no.
    Refused(Refusal),
    /// Nobody knows: a time-out, a broken connection, an answer that cannot be believed. Ask, or repeat with the same number.
    Unknown(String),
}

/// The channel's no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub kind: RefusalKind,
    /// The channel's own code, such as `PARAM_ERROR`.
    pub code: String,
    /// The channel's own words. For logs and operators, not for customers.
    pub message: String,
}

/// What a no means for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The order is paid already: query it.
    AlreadyPaid,
    /// The order is closed at the channel.
    Closed,
    /// Not now: too many calls. Nothing happened.
    RateLimited,
    /// Our request, our rights or our settings are at fault.
    Rejected,
}

/// A ticket to pay one order.
#[derive(Debug, Clone)]
pub struct PrepayRequest {
    pub order_no: OrderNo,
    pub sub_mchid: String,
    pub amount: Money,
    /// Shown in the customer's bill; at most 127 characters.
    pub description: String,
    pub payer_openid: Secret<String>,
    /// After this the order cannot be paid.
    pub expires_at: Timestamp,
    /// Where the channel tells us that it was paid.
    pub notify_path: String,
}

/// The arguments of `wx.requestPayment`, signed. Their names are WeChat's.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PayParameters {
    /// Seconds since 1970, as text.
    pub time_stamp: String,
    pub nonce_str: String,
    /// `prepay_id=wx…`
    pub package: String,
    /// Always `RSA`.
    pub sign_type: String,
    pub pay_sign: String,
}

/// What a query finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelOrder {
    Paid(PaidNotice),
    /// Not paid (yet), or closed; the text is the channel's `trade_state`.
    NotPaid(String),
    /// The channel knows no such order.
    Absent,
}

/// The channel's word that an order is paid, after its signature was verified: from a callback or a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaidNotice {
    /// As text: it may be anything until it is looked up.
    pub out_trade_no: String,
    pub wechat_transaction_id: String,
    pub sp_mchid: String,
    pub sub_mchid: String,
    pub app_id: String,
    pub amount: Money,
    pub currency: String,
    /// Paid by the customer after WeChat's coupons, when told.
    pub payer_amount: Option<Money>,
    pub paid_at: Timestamp,
}

/// A callback whose signature, time and encryption are sound.
#[derive(Debug, Clone)]
pub struct Notice {
    /// WeChat's id of the notification.
    pub id: String,
    pub created_at: Timestamp,
    pub body: NoticeBody,
}

#[derive(Debug, Clone)]
pub enum NoticeBody {
    Paid(PaidNotice),
    /// Sound, but of a kind that is not ours to handle (yet): event type and original type.
    Other {
        event_type: String,
        original_type: String,
    },
}

/// The headers under which WeChat signs, as received.
#[derive(Debug, Clone, Copy)]
pub struct NoticeHeaders<'a> {
    pub timestamp: Option<&'a str>,
    pub nonce: Option<&'a str>,
    pub signature: Option<&'a str>,
    pub serial: Option<&'a str>,
    pub signature_type: Option<&'a str>,
}

/// Why a callback is not believed. Each has a stable name for metrics ([`NoticeError::reason`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoticeError {
    #[error("a signature header is missing")]
    MissingHeader,
    #[error("the time is more than five minutes away")]
    OutsideWindow,
    #[error("WeChat's signature probe")]
    Probe,
    #[error("signed with a key that is not known")]
    UnknownKey,
    #[error("the signature is wrong")]
    BadSignature,
    #[error("the envelope is not a notification")]
    Malformed,
    #[error("the encryption is of an unknown kind")]
    UnknownAlgorithm,
    #[error("the content cannot be decrypted")]
    Undecryptable,
    #[error("the content is not what its kind calls for")]
    BadContent,
}

impl NoticeError {
    pub const fn reason(self) -> &'static str {
        match self {
            Self::MissingHeader => "missing_header",
            Self::OutsideWindow => "outside_window",
            Self::Probe => "probe",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::Malformed => "malformed",
            Self::UnknownAlgorithm => "unknown_algorithm",
            Self::Undecryptable => "undecryptable",
            Self::BadContent => "bad_content",
        }
    }
}

/// A payment channel.
pub trait Gateway: Debug + Send + Sync + 'static {
    /// Makes the order payable. The same request again gives a fresh ticket.
    fn prepay(&self, request: PrepayRequest) -> BoxFuture<'_, Outcome<String>>;

    /// What the mini-program needs to show the payment sheet for a ticket.
    fn pay_parameters(&self, prepay_id: &str, now: Timestamp) -> PayParameters;

    /// Asks what became of an order.
    fn query(&self, order_no: OrderNo, sub_mchid: &str) -> BoxFuture<'_, Outcome<ChannelOrder>>;

    /// Verifies, decrypts and reads a callback. `body` is what came over the wire, byte for byte.
    fn read_notice(
        &self,
        headers: NoticeHeaders<'_>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Notice, NoticeError>;

    /// Whether a notice speaks of our own merchant number and mini-program.
    fn is_ours(&self, notice: &PaidNotice) -> bool;
}
