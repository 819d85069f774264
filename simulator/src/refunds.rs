//! The refunds WeChat knows: `PROCESSING`, then `SUCCESS`, `CLOSED` or `ABNORMAL`.
//!
//! ```text
//!  accepted -> PROCESSING -> SUCCESS
//!                  ^   \---> CLOSED      the merchant has the money back; the number is spent
//!                  |    \--> ABNORMAL    the merchant has given the money and the user has not got it
//!                  \------------/        apply-abnormal-refund
//! ```
//!
//! An abnormal refund also ends as `SUCCESS` or `CLOSED` by hand, on the merchant platform.
//!
//! Like the orders they are in memory and bounded: past the limit the oldest are forgotten. What a
//! refund may be is decided here, over the order and the refunds before it; what its fields may be
//! is `refund_request`'s. Rules: pay.weixin.qq.com/doc/v3/partner/4013163605.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::coupon::Coupon;
use super::orders::{Order, OrderState};

/// Of one order, whatever became of them.
const REFUNDS_PER_ORDER_MAX: usize = 50;
const REFUNDABLE_DAYS: i64 = 365;
/// Between two refunds of one order.
const GAP: std::time::Duration = std::time::Duration::from_mins(1);

/// How far a refund has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundState {
    /// Accepted, and nothing more.
    Processing,
    /// The user has the money.
    Success {
        /// Since when.
        at: OffsetDateTime,
    },
    /// It will not happen, and its number cannot be used again. The merchant has the money back.
    Closed,
    /// The bank did not take the money; somebody has to say where it is to go.
    Abnormal,
}

impl RefundState {
    /// WeChat's word for it: `status` in answers, `refund_status` in callbacks.
    pub fn word(self) -> &'static str {
        match self {
            Self::Processing => "PROCESSING",
            Self::Success { .. } => "SUCCESS",
            Self::Closed => "CLOSED",
            Self::Abnormal => "ABNORMAL",
        }
    }
}

/// What becomes of a refund in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundFate {
    /// `SUCCESS` after the usual delay.
    Success,
    /// `SUCCESS` after the long delay.
    Slow,
    /// `ABNORMAL` after the usual delay.
    Abnormal,
    /// `CLOSED` after the usual delay.
    Closed,
}

/// Where the money of a refund goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundDestination {
    /// Back along the way it came.
    Payer,
    /// After an abnormal refund, to a bank card that the merchant named.
    UserBankCard,
    /// After an abnormal refund, to the merchant, who gives it to the user in some other way.
    MerchantBankCard,
}

impl RefundDestination {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Payer => "支付用户零钱",
            Self::UserBankCard => "用户银行卡",
            Self::MerchantBankCard => "商户结算银行账户",
        }
    }
}

/// A refund as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// The merchant's number for it.
    pub out_refund_no: String,
    /// WeChat's number for it, 29 digits.
    pub refund_id: String,
    /// The merchant's number for the payment.
    pub out_trade_no: String,
    /// WeChat's number for the payment.
    pub transaction_id: String,
    /// The merchant, in partner mode.
    pub sub_mchid: Option<String>,
    /// What goes back, in fen.
    pub refund_fen: i64,
    /// What was paid, in fen.
    pub total_fen: i64,
    /// What the coupon paid of that, in fen.
    pub coupon_fen: i64,
    /// What of the refund is the coupon's: the user gets that much less, in fen.
    pub discount_fen: i64,
    /// The coupon, if there was one.
    pub(super) coupon: Option<Coupon>,
    /// What the user is told.
    pub reason: Option<String>,
    /// The address of its callback; without one no callback is sent.
    pub notify_url: Option<String>,
    /// When WeChat took it on.
    pub accepted_at: OffsetDateTime,
    /// How far it has come.
    pub state: RefundState,
    /// Where the money goes.
    pub destination: RefundDestination,
    /// Which account of the sub-merchant pays: `AVAILABLE` or `UNSETTLED`.
    pub(super) funds_account: &'static str,
    /// Which parts of the balance pay, as the request named them.
    pub(super) from: Vec<(&'static str, i64)>,
    pub(super) fingerprint: [u8; 32],
    accepted: Instant,
}

impl Refund {
    /// `promotion_detail`, where there was a coupon.
    pub(super) fn promotion(&self) -> Option<serde_json::Value> {
        let coupon = self.coupon.as_ref()?;
        Some(coupon.promotion_of_refund(self.discount_fen))
    }

    /// What the merchant gives back: of a coupon that it bore it got nothing.
    pub(super) fn settled_fen(&self) -> i64 {
        match &self.coupon {
            Some(coupon) if coupon.borne_by_merchant_fen() > 0 => {
                self.refund_fen.saturating_sub(self.discount_fen)
            }
            Some(_) | None => self.refund_fen,
        }
    }
}

/// What a request asks for, its fields being right.
#[derive(Debug, Clone)]
pub(super) struct RequestedRefund {
    pub(super) out_refund_no: String,
    pub(super) sub_mchid: Option<String>,
    pub(super) refund_fen: i64,
    pub(super) total_fen: i64,
    pub(super) reason: Option<String>,
    pub(super) notify_url: Option<String>,
    pub(super) funds_account: &'static str,
    pub(super) from: Vec<(&'static str, i64)>,
    pub(super) fingerprint: [u8; 32],
}

/// Why a refund was refused although its fields are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefundRefused {
    OtherParameters,
    NumberSpent,
    NotPaid,
    OtherTotal,
    MoreThanPaid,
    TooMany,
    TooSoon,
    TooLate,
}

/// When the request came, and how long a minute is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    pub(super) now: OffsetDateTime,
    pub(super) instant: Instant,
    /// Divides the minute between refunds of one order.
    pub(super) compression: u32,
    /// No such minute at all.
    pub(super) at_once: bool,
}

/// Refunds from the oldest kept to the newest.
#[derive(Debug)]
pub(super) struct Refunds {
    kept: BTreeMap<u64, Refund>,
    next: u64,
    numbers: HashMap<String, u64>,
    ids: HashMap<String, u64>,
    of_orders: HashMap<String, Vec<u64>>,
    kept_max: usize,
}

impl Refunds {
    pub(super) fn new(kept_max: usize) -> Self {
        Self {
            kept: BTreeMap::new(),
            next: 0,
            numbers: HashMap::new(),
            ids: HashMap::new(),
            of_orders: HashMap::new(),
            kept_max: kept_max.max(1),
        }
    }

    /// The refund that has this number already, if the request asks for the same again.
    pub(super) fn known(&self, asked: &RequestedRefund) -> Result<Option<&Refund>, RefundRefused> {
        match self.by_number(&asked.out_refund_no) {
            None => Ok(None),
            Some(refund) if refund.fingerprint != asked.fingerprint => {
                Err(RefundRefused::OtherParameters)
            }
            Some(refund) => match refund.state {
                RefundState::Closed => Err(RefundRefused::NumberSpent),
                RefundState::Processing | RefundState::Success { .. } | RefundState::Abnormal => {
                    Ok(Some(refund))
                }
            },
        }
    }

    /// Whether a refund with a new number may be. The merchant's balance is not asked here.
    pub(super) fn check(
        &self,
        asked: &RequestedRefund,
        order: &Order,
        timing: Timing,
    ) -> Result<(), RefundRefused> {
        let paid_at = match &order.state {
            OrderState::Paid { paid_at, .. } => *paid_at,
            OrderState::NotPaid | OrderState::Closed => return Err(RefundRefused::NotPaid),
        };
        if asked.total_fen != order.total_fen {
            return Err(RefundRefused::OtherTotal);
        }
        if timing.now > paid_at.saturating_add(Duration::days(REFUNDABLE_DAYS)) {
            return Err(RefundRefused::TooLate);
        }
        let left = order
            .total_fen
            .saturating_sub(self.refunded_fen(&order.out_trade_no));
        if asked.refund_fen > left {
            return Err(RefundRefused::MoreThanPaid);
        }
        let before = self.of_order(&order.out_trade_no);
        if before.clone().count() >= REFUNDS_PER_ORDER_MAX {
            return Err(RefundRefused::TooMany);
        }
        // The clock of WeChat counts, or the machine's: under a test's clock that stands still, the
        // minute passes all the same.
        let gap = GAP / timing.compression.max(1);
        let recent = before.last().is_some_and(|last| {
            timing.now - last.accepted_at < gap && timing.instant - last.accepted < gap
        });
        if recent && !timing.at_once {
            return Err(RefundRefused::TooSoon);
        }
        Ok(())
    }

    /// The coupon's part of a refund: its part of all refunds of the order with this one, less what
    /// those before gave back.
    fn discount_fen(&self, asked: &RequestedRefund, order: &Order) -> i64 {
        let before_fen = self.refunded_fen(&order.out_trade_no);
        let after_fen = before_fen.saturating_add(asked.refund_fen);
        order.coupon.as_ref().map_or(0, |coupon| {
            let of = |fen| coupon.part_fen(fen, order.total_fen);
            of(after_fen).saturating_sub(of(before_fen))
        })
    }

    /// What the merchant has to give for it.
    pub(super) fn settled_fen(&self, asked: &RequestedRefund, order: &Order) -> i64 {
        let borne = order
            .coupon
            .as_ref()
            .map_or(0, Coupon::borne_by_merchant_fen);
        if borne > 0 {
            let discount_fen = self.discount_fen(asked, order);
            asked.refund_fen.saturating_sub(discount_fen)
        } else {
            asked.refund_fen
        }
    }

    /// Takes in what [`Refunds::check`] has let pass.
    pub(super) fn accept(
        &mut self,
        asked: RequestedRefund,
        order: &Order,
        refund_id: String,
        timing: Timing,
    ) -> Result<Refund, RefundRefused> {
        let OrderState::Paid { transaction_id, .. } = &order.state else {
            return Err(RefundRefused::NotPaid);
        };
        if self.kept.len() >= self.kept_max {
            self.forget_oldest();
        }
        let discount_fen = self.discount_fen(&asked, order);
        let coupon = order.coupon.clone();
        let refund = Refund {
            coupon_fen: coupon.as_ref().map_or(0, |coupon| coupon.amount_fen),
            discount_fen,
            coupon,
            out_refund_no: asked.out_refund_no,
            refund_id,
            out_trade_no: order.out_trade_no.to_string(),
            transaction_id: transaction_id.to_string(),
            sub_mchid: asked.sub_mchid,
            refund_fen: asked.refund_fen,
            total_fen: asked.total_fen,
            reason: asked.reason,
            notify_url: asked.notify_url,
            accepted_at: timing.now,
            state: RefundState::Processing,
            destination: RefundDestination::Payer,
            funds_account: asked.funds_account,
            from: asked.from,
            fingerprint: asked.fingerprint,
            accepted: timing.instant,
        };
        let position = self.next;
        self.next += 1;
        self.numbers.insert(refund.out_refund_no.clone(), position);
        self.ids.insert(refund.refund_id.clone(), position);
        let of_order = self.of_orders.entry(refund.out_trade_no.clone());
        of_order.or_default().push(position);
        self.kept.insert(position, refund.clone());
        Ok(refund)
    }

    /// Ends a refund that is being processed or, `by_hand`, one that is abnormal. `None` if there
    /// is none such: it has ended before.
    pub(super) fn end(
        &mut self,
        out_refund_no: &str,
        fate: RefundFate,
        by_hand: bool,
        now: OffsetDateTime,
    ) -> Option<Refund> {
        let refund = self.by_number_mut(out_refund_no)?;
        match refund.state {
            RefundState::Processing => {}
            RefundState::Abnormal if by_hand && fate != RefundFate::Abnormal => {}
            RefundState::Abnormal | RefundState::Success { .. } | RefundState::Closed => {
                return None;
            }
        }
        refund.state = match fate {
            RefundFate::Success | RefundFate::Slow => RefundState::Success { at: now },
            RefundFate::Abnormal => RefundState::Abnormal,
            RefundFate::Closed => RefundState::Closed,
        };
        Some(refund.clone())
    }

    /// Sends an abnormal refund on its way again. `None` if it is not abnormal.
    pub(super) fn redirect(
        &mut self,
        refund_id: &str,
        destination: RefundDestination,
    ) -> Option<Refund> {
        let refund = self.kept.get_mut(self.ids.get(refund_id)?)?;
        if refund.state != RefundState::Abnormal {
            return None;
        }
        refund.state = RefundState::Processing;
        refund.destination = destination;
        Some(refund.clone())
    }

    pub(super) fn by_number(&self, out_refund_no: &str) -> Option<&Refund> {
        self.kept.get(self.numbers.get(out_refund_no)?)
    }

    pub(super) fn by_id(&self, refund_id: &str) -> Option<&Refund> {
        self.kept.get(self.ids.get(refund_id)?)
    }

    /// The refunds of one order, oldest first.
    pub(super) fn of_order(
        &self,
        out_trade_no: &str,
    ) -> impl DoubleEndedIterator<Item = &Refund> + Clone {
        let positions = self.of_orders.get(out_trade_no);
        positions
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .filter_map(|position| self.kept.get(position))
    }

    /// What went back or is on its way, in fen. What was closed stayed.
    pub(super) fn refunded_fen(&self, out_trade_no: &str) -> i64 {
        self.of_order(out_trade_no)
            .filter(|refund| refund.state != RefundState::Closed)
            .fold(0, |sum: i64, refund| sum.saturating_add(refund.refund_fen))
    }

    /// Oldest first.
    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = &Refund> {
        self.kept.values()
    }

    fn by_number_mut(&mut self, out_refund_no: &str) -> Option<&mut Refund> {
        self.kept.get_mut(self.numbers.get(out_refund_no)?)
    }

    fn forget_oldest(&mut self) {
        if let Some((position, refund)) = self.kept.pop_first() {
            self.numbers.remove(&refund.out_refund_no);
            self.ids.remove(&refund.refund_id);
            if let Some(positions) = self.of_orders.get_mut(&refund.out_trade_no) {
                positions.retain(|other| *other != position);
                if positions.is_empty() {
                    self.of_orders.remove(&refund.out_trade_no);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::super::orders::{OrderName, Orders};
    use super::super::prepay::Prepay;
    use super::super::transaction::{Party, TradeType};
    use super::*;

    const PAID_AT: OffsetDateTime = datetime!(2026-11-21 12:00:00 UTC);

    fn orders() -> Orders {
        let mut orders = Orders::new(10, 0);
        for number in ["ORDER-1", "ORDER-2"] {
            let prepay = Prepay {
                out_trade_no: number.to_owned(),
                trade_type: TradeType::Jsapi,
                party: Party::Direct {
                    openid: "oA".to_owned(),
                },
                description: "x".to_owned(),
                total_fen: 100,
                attach: None,
                notify_url: "https://example.com/n".to_owned(),
                expires_at: PAID_AT + Duration::days(7),
                profit_sharing: false,
                fingerprint: [1; 32],
            };
            orders.prepay(prepay, 1, PAID_AT).unwrap();
            let name = OrderName::OutTradeNo(number);
            orders.pay(name, (None, None), number, PAID_AT).unwrap();
        }
        orders
    }

    fn asked(number: &str) -> RequestedRefund {
        RequestedRefund {
            out_refund_no: number.to_owned(),
            sub_mchid: None,
            refund_fen: 10,
            total_fen: 100,
            reason: None,
            notify_url: None,
            funds_account: "AVAILABLE",
            from: Vec::new(),
            fingerprint: [2; 32],
        }
    }

    #[test]
    fn refunds_of_an_order_are_a_compressed_minute_apart_by_either_clock() {
        let orders = orders();
        let order = orders.by_number("ORDER-1").unwrap();
        let start = Timing {
            now: PAID_AT,
            instant: Instant::now(),
            compression: 10,
            at_once: false,
        };
        let mut refunds = Refunds::new(10);
        let accepted = refunds.accept(asked("R-1"), order, "1".to_owned(), start);
        assert_eq!(accepted.unwrap().state, RefundState::Processing);
        let check = |timing| refunds.check(&asked("R-2"), order, timing);
        let seconds = std::time::Duration::from_secs;
        let wechat = |n| Timing {
            now: PAID_AT + seconds(n),
            ..start
        };
        let machine = |n| Timing {
            instant: start.instant + seconds(n),
            ..start
        };
        assert_eq!(check(wechat(5)), Err(RefundRefused::TooSoon));
        assert_eq!(check(machine(5)), Err(RefundRefused::TooSoon));
        assert_eq!(check(wechat(6)), Ok(()));
        assert_eq!(check(machine(6)), Ok(()));
        let at_once = Timing {
            at_once: true,
            ..start
        };
        assert_eq!(check(at_once), Ok(()));
        let year = seconds(365 * 86_400);
        let last = Timing {
            now: PAID_AT + year,
            ..start
        };
        assert_eq!(check(last), Ok(()));
        let late = Timing {
            now: last.now + seconds(1),
            ..start
        };
        assert_eq!(check(late), Err(RefundRefused::TooLate));
    }

    #[test]
    fn the_oldest_are_forgotten_whole() {
        let orders = orders();
        let timing = Timing {
            now: PAID_AT,
            instant: Instant::now(),
            compression: 1,
            at_once: true,
        };
        let mut refunds = Refunds::new(2);
        for (number, order) in [("R-1", "ORDER-1"), ("R-2", "ORDER-2"), ("R-3", "ORDER-2")] {
            let order = orders.by_number(order).unwrap();
            let id = format!("id of {number}");
            refunds.accept(asked(number), order, id, timing).unwrap();
        }
        assert!(refunds.by_number("R-1").is_none() && refunds.by_id("id of R-1").is_none());
        assert_eq!(refunds.refunded_fen("ORDER-1"), 0);
        assert_eq!(refunds.refunded_fen("ORDER-2"), 20);
        let kept: Vec<_> = refunds.all().map(|refund| &*refund.out_refund_no).collect();
        assert_eq!(kept, ["R-2", "R-3"]);
    }
}
