//! What can go wrong with the simulator itself, as against what it does wrong on request.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The port is taken, or not ours to take.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// A key file cannot be read or written.
    #[error("cannot use {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A key is not what it should be.
    #[error("a simulator key {0}")]
    Key(&'static str),
    /// `identity.json` is damaged.
    #[error("cannot understand {0}; remove the folder to make new keys")]
    Identity(PathBuf, #[source] serde_json::Error),
    /// The client that sends callbacks cannot be built.
    #[error("cannot build the HTTP client")]
    HttpClient(#[from] reqwest::Error),
    /// The thread that makes keys died.
    #[error("making keys was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
    /// The address listened on cannot be written as a URL.
    #[error("the address cannot be written as a URL")]
    Url(#[from] url::ParseError),
}

/// Why the user cannot pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayError {
    /// No prepay was asked for under that number.
    #[error("no such order")]
    UnknownOrder,
    /// The order is paid.
    #[error("the order is paid already")]
    AlreadyPaid,
    /// The order is not paid, so there is nothing to notify of.
    #[error("the order is not paid")]
    NotPaid,
    /// The merchant closed the order.
    #[error("the order is closed")]
    Closed,
    /// `time_expire` has passed.
    #[error("the order's time to pay has passed")]
    Expired,
    /// The prepay id is older than two hours.
    #[error("the prepay id is older than two hours")]
    PrepayExpired,
    /// One order can be paid by one user only.
    #[error("the order belongs to another user")]
    OtherPayer,
    /// The code is older than two hours, or the merchant asked for another since.
    #[error("the code has expired")]
    CodeExpired,
    /// A coupon pays some of an order, never all of it.
    #[error("the coupon is not less than the order")]
    CouponTooLarge,
    /// Native orders are paid by somebody; say who.
    #[error("nobody has scanned the code")]
    NobodyScanned,
}

impl PayError {
    /// A stable code and a sentence that a person at the phone can read.
    pub(super) fn code_and_sentence(self) -> (&'static str, &'static str) {
        match self {
            Self::UnknownOrder => ("ORDER_NOT_EXIST", "订单不存在"),
            Self::AlreadyPaid => ("ORDERPAID", "该订单已支付"),
            Self::NotPaid => ("ORDER_NOT_PAID", "该订单未支付"),
            Self::Closed => ("ORDER_CLOSED", "该订单已关闭"),
            Self::Expired => ("ORDER_EXPIRED", "该订单已过支付时间"),
            Self::PrepayExpired => ("PREPAY_EXPIRED", "支付会话已过期，请重新发起支付"),
            Self::OtherPayer => ("OTHER_PAYER", "该订单只能由下单用户支付"),
            Self::CodeExpired => ("CODE_EXPIRED", "二维码已失效，请重新获取"),
            Self::CouponTooLarge => ("COUPON_TOO_LARGE", "代金券金额应小于订单金额"),
            Self::NobodyScanned => ("PAYER_UNKNOWN", "请指定扫码支付的用户openid"),
        }
    }
}
