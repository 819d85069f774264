//! Another system of the same merchant: somebody at the merchant platform 商户平台, or a second
//! program with the same keys. It refunds and shares payments of ours under numbers of its own.
//!
//! What it does is what anybody's request does: the same rules, the same money, the same ends. It
//! is sent to the address that it names, as WeChat does; a merchant that set an address on the
//! system may well have named this one. Without an address there is no callback, and only a query
//! says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;

use super::answer::{Answer, Refusal};
use super::callback_content::CallbackContent;
use super::clock::{compact, random_bytes};
use super::control_refunds::RefundLine;
use super::faults::Fault;
use super::lock::lock;
use super::refund_api::{refused, take_on};
use super::refund_plan::RefundPlan;
use super::refund_request::PaymentName;
use super::refunds::{Refund, RefundFate, RefundRefused, RequestedRefund, Timing};
use super::resend::CallbackJob;
use super::sharing::share::share_elsewhere;
use super::state::Shared;

/// A refund that another system makes. `notify_url` is where its callback goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefundElsewhere {
    /// The merchant's number of the payment.
    pub out_trade_no: String,
    /// What goes back; `None` is all that is left.
    pub refund_fen: Option<i64>,
    /// The other system's number; `None` is one like those of the merchant platform, all digits.
    pub out_refund_no: Option<String>,
    /// Where its callback goes; `None`: there is none.
    pub notify_url: Option<String>,
    /// How it ends; `None`: as the switches say.
    pub fate: Option<RefundFate>,
    /// Exactly these faults of its callbacks; `None`: as the switches say.
    pub faults: Option<Vec<Fault>>,
}

/// A share that another system makes. `notify_url` is where the receiver's callback goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareElsewhere {
    /// The merchant's number of the payment.
    pub out_trade_no: String,
    /// The `mchid` that gets something; it is made a receiver if it was none.
    pub account: String,
    /// How much, in fen.
    pub amount_fen: i64,
    /// Whether what is left becomes the merchant's own.
    #[serde(default)]
    pub unfreeze_unsplit: bool,
    /// The other system's number; `None` is one of digits.
    pub out_order_no: Option<String>,
    /// Where the callback goes; `None`: there is none.
    pub notify_url: Option<String>,
}

/// WeChat refused what the other system asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct RefusedElsewhere {
    /// WeChat's code.
    pub code: &'static str,
    /// WeChat's sentence.
    pub message: String,
}

impl From<Refusal> for RefusedElsewhere {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: refusal.code,
            message: refusal.message().to_owned(),
        }
    }
}

impl Shared {
    pub(super) fn refund_elsewhere(
        self: &Arc<Self>,
        request: RefundElsewhere,
    ) -> Result<Refund, Refusal> {
        let timing = Timing {
            now: self.clock.now(),
            instant: Instant::now(),
            compression: self.compression,
            at_once: self.faults().refunds_at_once,
        };
        let out_refund_no = request.out_refund_no;
        let out_refund_no = out_refund_no.unwrap_or_else(|| self.foreign_number());
        if request.fate.is_some() || request.faults.is_some() {
            let plan = RefundPlan {
                fate: request.fate,
                faults: request.faults,
                callback_key: None,
            };
            self.plan_refund(&out_refund_no, plan);
        }
        let mut orders = lock(&self.orders);
        let mut refunds = lock(&self.refunds);
        let order = orders
            .by_number(&request.out_trade_no)
            .ok_or_else(Refusal::order_not_exist)?;
        let left_fen = order
            .total_fen
            .saturating_sub(refunds.refunded_fen(&order.out_trade_no));
        let asked = RequestedRefund {
            out_refund_no,
            sub_mchid: order.party.sub_mchid().map(str::to_owned),
            refund_fen: request.refund_fen.unwrap_or(left_fen),
            total_fen: order.total_fen,
            reason: None,
            notify_url: request.notify_url,
            funds_account: "AVAILABLE",
            from: Vec::new(),
            // Nobody repeats it: the same number again is another request, and refused.
            fingerprint: random_bytes(),
        };
        if asked.refund_fen < 1 {
            return Err(refused(RefundRefused::MoreThanPaid));
        }
        let name = PaymentName::OutTradeNo(request.out_trade_no);
        let refund = take_on(self, &mut orders, &mut refunds, &name, asked, timing)?;
        drop((refunds, orders));
        self.process_refund(&refund, self.refund_fate(&refund.out_refund_no));
        Ok(refund)
    }

    /// All digits, as the merchant platform gives them out.
    fn foreign_number(&self) -> String {
        let count = self.ids.count() % 1_000_000_000_000_000;
        format!("1301{}{count:015}", &compact(self.clock.now())[..8])
    }

    pub(super) fn share_elsewhere(&self, request: ShareElsewhere) -> Result<Value, Refusal> {
        let (number, notify_url) = (request.out_order_no, request.notify_url);
        let out_order_no = number.unwrap_or_else(|| self.foreign_number());
        let movement = share_elsewhere(
            self,
            &request.out_trade_no,
            out_order_no,
            (request.account, request.amount_fen),
            request.unfreeze_unsplit,
        )?;
        if let Some(url) = notify_url {
            let (faults, kind) = self.faults().draw(self.seed, &movement.out_order_no);
            self.sender.dispatch(CallbackJob {
                notify_url: url.into(),
                content: CallbackContent::Share(movement.clone()),
                faults,
                kind,
                late: Duration::from_millis(self.faults().late_ms.into()),
            });
        }
        Ok(movement.answer)
    }
}

/// `POST /sim/elsewhere/refunds`: another system refunds.
pub(super) async fn refund(
    State(shared): State<Arc<Shared>>,
    Json(request): Json<RefundElsewhere>,
) -> Response {
    match shared.refund_elsewhere(request) {
        Ok(refund) => Json(RefundLine::from(refund)).into_response(),
        Err(refusal) => unsigned(refusal),
    }
}

/// `POST /sim/elsewhere/shares`: another system shares.
pub(super) async fn share(
    State(shared): State<Arc<Shared>>,
    Json(request): Json<ShareElsewhere>,
) -> Response {
    match shared.share_elsewhere(request) {
        Ok(movement) => Json(movement).into_response(),
        Err(refusal) => unsigned(refusal),
    }
}

/// Returns WeChat's refusal as an answer of the control API, which is not signed.
fn unsigned(refusal: Refusal) -> Response {
    match Answer::from(refusal) {
        Answer::Json(status, body) => {
            (status, [("content-type", "application/json")], body).into_response()
        }
        Answer::Done | Answer::File(..) | Answer::BadGateway | Answer::Cut => {
            http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
