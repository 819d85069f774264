//! An order in WeChat's words: the plaintext of a callback and the answer to a query.

use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::clock::beijing;
use super::coupon::Coupon;
use super::keys::KeySet;
use super::login_codes::openid_for;

/// How the user came to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TradeType {
    /// Inside WeChat, by a mini-program or a page.
    Jsapi,
    /// By scanning a code that the merchant showed.
    Native,
}

impl TradeType {
    /// WeChat's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Jsapi => "JSAPI",
            Self::Native => "NATIVE",
        }
    }
}

/// On whose behalf the money is collected, and who pays. The payer of a native order is not known,
/// and its openid empty, until somebody has paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Party {
    /// Partner mode 服务商: the service provider collects for a merchant.
    Partner {
        /// The merchant.
        sub_mchid: String,
        /// The merchant's own app, if the payer is known by it.
        sub_appid: Option<String>,
        /// The payer under the service provider's app.
        sp_openid: String,
        /// The payer under the sub-merchant's app.
        sub_openid: Option<String>,
    },
    /// Direct mode 直连.
    Direct {
        /// The payer.
        openid: String,
    },
}

impl Party {
    /// The openid that the prepay named.
    pub(super) fn payer(&self) -> &str {
        match self {
            Self::Partner {
                sub_openid: Some(openid),
                ..
            }
            | Self::Partner {
                sp_openid: openid,
                sub_openid: None,
                ..
            }
            | Self::Direct { openid } => openid,
        }
    }

    /// The payer under the merchant's own mini-program.
    pub(super) fn mini_program_payer(&self) -> &str {
        match self {
            Self::Partner { sp_openid, .. } => sp_openid,
            Self::Direct { openid } => openid,
        }
    }

    /// The sub-merchant, in partner mode.
    pub(super) fn sub_mchid(&self) -> Option<&str> {
        match self {
            Self::Partner { sub_mchid, .. } => Some(sub_mchid),
            Self::Direct { .. } => None,
        }
    }

    /// Whose money it is: the sub-merchant, or in direct mode the merchant itself.
    pub(super) fn receiver<'a>(&'a self, keys: &'a KeySet) -> &'a str {
        self.sub_mchid().unwrap_or_else(|| keys.sp_mchid())
    }

    /// Writes down who scanned the code. Under the merchant's own app everybody has another openid.
    pub(super) fn set_payer(&mut self, payer: &str) {
        match self {
            Self::Partner {
                sub_appid,
                sp_openid,
                sub_openid,
                ..
            } => {
                payer.clone_into(sp_openid);
                *sub_openid = sub_appid
                    .as_deref()
                    .map(|app| openid_for(&format!("{app}/{payer}")));
            }
            Self::Direct { openid } => payer.clone_into(openid),
        }
    }
}

/// A payment as WeChat states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The merchant's number.
    pub out_trade_no: String,
    /// WeChat's number, 28 digits.
    pub transaction_id: String,
    /// For whom, by whom.
    pub party: Party,
    /// How.
    pub trade_type: TradeType,
    /// The order's amount, in fen.
    pub total_fen: i64,
    /// What of that a coupon paid.
    pub coupon: Option<Coupon>,
    /// What the prepay asked to be sent back.
    pub attach: Option<String>,
    /// When the user paid.
    pub paid_at: OffsetDateTime,
}

/// An order as WeChat describes it. Fields that mean nothing yet are missing, never null.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the names are WeChat's")]
pub(super) struct Transaction<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sp_appid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sp_mchid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_appid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_mchid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    appid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mchid: Option<&'a str>,
    out_trade_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trade_type: Option<&'static str>,
    trade_state: &'static str,
    trade_state_desc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bank_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attach: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    success_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<Payer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    promotion_detail: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scene_info: Option<Value>,
}

#[derive(Debug, Serialize)]
struct Payer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    openid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sp_openid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_openid: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Amount {
    total: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer_total: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'static str>,
    payer_currency: &'static str,
}

impl<'a> Transaction<'a> {
    /// An order that nobody has paid; `state` is `NOTPAY` or `CLOSED`.
    pub(super) fn unpaid(
        keys: &'a KeySet,
        party: &'a Party,
        out_trade_no: &'a str,
        (state, description): (&'static str, &'static str),
    ) -> Self {
        let mut body = Self {
            sp_appid: None,
            sp_mchid: None,
            sub_appid: None,
            sub_mchid: None,
            appid: None,
            mchid: None,
            out_trade_no,
            transaction_id: None,
            trade_type: None,
            trade_state: state,
            trade_state_desc: description,
            bank_type: None,
            attach: None,
            success_time: None,
            payer: None,
            amount: None,
            promotion_detail: None,
            scene_info: None,
        };
        match party {
            Party::Partner {
                sub_mchid,
                sub_appid,
                ..
            } => {
                body.sp_appid = Some(keys.app_id());
                body.sp_mchid = Some(keys.sp_mchid());
                body.sub_mchid = Some(sub_mchid);
                body.sub_appid = sub_appid.as_deref();
            }
            Party::Direct { .. } => {
                body.appid = Some(keys.app_id());
                body.mchid = Some(keys.sp_mchid());
            }
        }
        body
    }

    /// What WeChat says of an order that nobody has paid, beside its state.
    pub(super) fn asking(mut self, total_fen: i64) -> Self {
        self.amount = Some(Amount {
            total: total_fen,
            payer_total: None,
            currency: None,
            payer_currency: "CNY",
        });
        self.promotion_detail = Some(json!([]));
        self.scene_info = Some(json!({"device_id": ""}));
        self
    }

    /// A paid order. `attach` is only sent back once the order is paid, and only if it was sent.
    pub(super) fn paid(keys: &'a KeySet, notice: &'a Notice) -> Self {
        let mut body = Self::unpaid(
            keys,
            &notice.party,
            &notice.out_trade_no,
            ("SUCCESS", "支付成功"),
        );
        body.transaction_id = Some(&notice.transaction_id);
        body.trade_type = Some(notice.trade_type.word());
        body.bank_type = Some("OTHERS");
        body.attach = notice.attach.as_deref();
        body.success_time = Some(beijing(notice.paid_at));
        body.payer = Some(match &notice.party {
            Party::Partner {
                sp_openid,
                sub_openid,
                ..
            } => Payer {
                openid: None,
                sp_openid: Some(sp_openid),
                sub_openid: sub_openid.as_deref(),
            },
            Party::Direct { openid } => Payer {
                openid: Some(openid),
                sp_openid: None,
                sub_openid: None,
            },
        });
        let coupon = notice.coupon.as_ref();
        let coupon_fen = coupon.map_or(0, |coupon| coupon.amount_fen);
        body.promotion_detail = coupon.map(Coupon::promotion);
        body.amount = Some(Amount {
            total: notice.total_fen,
            payer_total: Some(notice.total_fen.saturating_sub(coupon_fen)),
            currency: Some("CNY"),
            payer_currency: "CNY",
        });
        body
    }

    /// A paid order of which something was refunded: it stays so, whatever became of the refund.
    pub(super) fn refunded(mut self) -> Self {
        (self.trade_state, self.trade_state_desc) =
            ("REFUND", "订单发生过退款，退款详情请查询退款单");
        self
    }
}
