//! The port to the channel, in our words. `wechat/` implements it; nothing here knows how.

mod bill;
mod refund;
mod text;

use std::{fmt::Debug, sync::Arc};

use futures_util::future::BoxFuture;
use serde::Serialize;

pub use bill::{
    Bill, BillContent, BillDisagreement, BillKind, BillLines, BillSummary, FundLine, RefundLine,
    TradeLine, TradeState, UnreadableBill,
};
pub use refund::{AbnormalRefund, BankCard, ChannelRefund, RefundCall, RefundNotice, RefundStatus};
pub(super) use text::{is_code_url, short_reason};
pub(crate) use text::{is_out_refund_no, is_plain};

use crate::primitives::{BusinessDay, Money, OrderNo, RefundNo, Secret, TenantId, Timestamp};

/// What became of a call that changes something elsewhere. Three outcomes, which no caller can
/// confuse.
#[derive(Debug)]
pub enum ChannelOutcome<T> {
    /// It happened, and the answer is proven to be the channel's.
    Done(T),
    /// It did not happen and will not: the channel said no.
    Refused(Refusal),
    /// Nobody knows: a time-out, a broken connection, an answer that cannot be verified. Ask, or
    /// repeat with the same number.
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
    /// Not now: too many calls. Nothing happened, except that of a refund nobody knows: repeat it
    /// with the same number.
    RateLimited,
    /// There is no such order, refund or sharing.
    Absent,
    /// The account that must pay has too little. The same number may be tried again later.
    NotEnough,
    /// The number was used with other parameters.
    Conflict,
    /// Our request, our rights or our settings are at fault.
    Rejected,
}

/// A prepay id to pay one order.
#[derive(Debug, Clone)]
pub struct PrepayRequest {
    pub order_no: OrderNo,
    /// The merchant's number at WeChat; in direct mode our own.
    pub sub_mchid: String,
    pub amount: Money,
    /// Shown in the customer's bill; at most 127 characters.
    pub description: String,
    /// Who will pay: needed for [`PaymentChannel::prepay`], unknown for
    /// [`PaymentChannel::prepay_native`].
    pub payer_openid: Option<Secret<String>>,
    /// After this the order cannot be paid.
    pub expires_at: Timestamp,
    /// Where the channel tells us that it was paid.
    pub notify_path: String,
    /// Freezes the merchant's money until it is shared or released (分账).
    pub profit_sharing: bool,
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
    /// Paid; `refunded` when a refund of it was started since (`trade_state` is `REFUND`).
    Paid { notice: PaidNotice, refunded: bool },
    /// Not paid (yet); the text is the channel's `trade_state`. A charge can still land.
    NotPaid(String),
    /// Closed: it cannot be paid any more.
    Closed,
    /// The channel knows no such order.
    Absent,
}

/// The channel's statement that an order is paid, after its signature was verified: from a callback
/// or a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaidNotice {
    /// As text: it may be anything until it is looked up.
    pub out_trade_no: String,
    pub wechat_transaction_id: String,
    /// Ours: the service provider's, or in direct mode the merchant's.
    pub sp_mchid: String,
    /// The merchant's; in direct mode the same as `sp_mchid`.
    pub sub_mchid: String,
    pub app_id: String,
    /// Who paid, under our mini-program, when told.
    pub payer_openid: Option<Secret<String>>,
    pub amount: Money,
    pub currency: String,
    /// Paid by the customer after WeChat's coupons, when told.
    pub payer_amount: Option<Money>,
    pub paid_at: Timestamp,
}

/// A callback whose signature, time and encryption are valid.
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
    Refund(RefundNotice),
    /// Verified, but of a kind that is not ours to handle: event type and original type.
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

/// Why a callback is unverified. Each has a stable name for metrics ([`NoticeError::reason`]).
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

    /// Whether the channel's signature held, and what it covers is not understood: then it is no
    /// stranger's, and what it says happened.
    pub const fn is_signed(self) -> bool {
        match self {
            Self::MissingHeader
            | Self::OutsideWindow
            | Self::Probe
            | Self::UnknownKey
            | Self::BadSignature => false,
            Self::Malformed | Self::UnknownAlgorithm | Self::Undecryptable | Self::BadContent => {
                true
            }
        }
    }
}

/// How a tenant collects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelMode {
    /// 服务商: for its merchants, each with a number of its own under ours.
    Partner,
    /// 直连: for itself, under its own number.
    Direct,
}

/// Who we are at the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OurAccount {
    pub mode: ChannelMode,
    /// `sp_mchid`, or `mchid` in direct mode.
    pub mchid: String,
    /// The mini-program.
    pub app_id: String,
}

/// The channel account of each tenant.
pub trait PaymentChannels: Debug + Send + Sync + 'static {
    /// The tenant's own account, or the one that tenants share.
    fn of(&self, tenant: TenantId) -> Arc<dyn PaymentChannel>;
}

/// One account for all tenants.
#[derive(Debug)]
pub struct OneChannel(pub Arc<dyn PaymentChannel>);

impl PaymentChannels for OneChannel {
    fn of(&self, _tenant: TenantId) -> Arc<dyn PaymentChannel> {
        Arc::clone(&self.0)
    }
}

/// A payment channel.
///
/// `sub_mchid` is always the merchant's number at the channel, in direct mode our own.
pub trait PaymentChannel: Debug + Send + Sync + 'static {
    fn account(&self) -> &OurAccount;

    /// Makes the order payable inside the mini-program. The same request again gives a fresh prepay
    /// id.
    fn prepay(&self, request: PrepayRequest) -> BoxFuture<'_, ChannelOutcome<String>>;

    /// Makes the order payable by whoever scans the answer, a `weixin://` address (Native). The
    /// same request again gives a new one and kills the old.
    fn prepay_native(&self, request: PrepayRequest) -> BoxFuture<'_, ChannelOutcome<String>>;

    /// What the mini-program needs to show the payment sheet for a prepay id.
    fn pay_parameters(&self, prepay_id: &str, now: Timestamp) -> PayParameters;

    /// Asks what became of an order.
    fn query<'a>(
        &'a self,
        order_no: OrderNo,
        sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelOrder>>;

    /// Queries an order by the channel's number; only paid orders have one.
    fn query_by_transaction<'a>(
        &'a self,
        wechat_transaction_id: &'a str,
        sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelOrder>>;

    /// Makes the order unpayable. Refused with [`RefusalKind::AlreadyPaid`] when it is paid.
    fn close<'a>(
        &'a self,
        order_no: OrderNo,
        sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<()>>;

    /// Asks for a refund. Done means taken, not refunded: see [`ChannelRefund::status`].
    fn refund(&self, call: RefundCall) -> BoxFuture<'_, ChannelOutcome<ChannelRefund>>;

    /// What became of a refund; refused with [`RefusalKind::Absent`] when the channel knows none
    /// with this number.
    fn query_refund<'a>(
        &'a self,
        refund_no: RefundNo,
        sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelRefund>>;

    /// Queries a refund that was made elsewhere, under somebody else's number.
    fn query_refund_of<'a>(
        &'a self,
        _out_refund_no: &'a str,
        _sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelRefund>> {
        Box::pin(async {
            ChannelOutcome::Unknown("the channel cannot be asked by this number".into())
        })
    }

    /// Sends an abnormal refund to another account.
    fn redirect_refund(&self, call: AbnormalRefund)
    -> BoxFuture<'_, ChannelOutcome<ChannelRefund>>;

    /// A day's bill, checked against its hash. `Done(None)`: there was nothing that day. Not ready
    /// yet is a refusal of kind [`RefusalKind::RateLimited`].
    fn bill(&self, kind: BillKind, day: BusinessDay)
    -> BoxFuture<'_, ChannelOutcome<Option<Bill>>>;

    /// Verifies, decrypts and reads a callback. `body` is what came over the wire, byte for byte.
    /// The signature is judged before anything else: an error with [`NoticeError::is_signed`] is
    /// about what the channel truly said.
    fn read_notice(
        &self,
        headers: NoticeHeaders<'_>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Notice, NoticeError>;

    /// Reads a callback that was verified when it came and stored.
    fn reread_notice(&self, body: &[u8]) -> Result<Notice, NoticeError>;

    /// The channel's name of a notification whose content is not understood, and when it was made:
    /// the same however often it is sent. Nothing is verified.
    fn name_of_notice(&self, _body: &[u8]) -> Option<(String, Timestamp)> {
        None
    }

    /// Whether a notice speaks of our own merchant number and mini-program.
    fn is_ours(&self, notice: &PaidNotice) -> bool {
        let us = self.account();
        notice.sp_mchid == us.mchid && notice.app_id == us.app_id
    }
}
