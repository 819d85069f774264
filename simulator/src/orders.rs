//! The orders WeChat knows: `NOTPAY`, then `SUCCESS` or `CLOSED`, and after `SUCCESS` `REFUND`.
//!
//! Everything is in memory and bounded: past the limit the oldest orders are forgotten, paid or
//! not. A payment of which something was refunded is `REFUND` for good, whatever becomes of the
//! refund.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use time::OffsetDateTime;

use super::coupon::Coupon;
use super::error::PayError;
use super::prepay::Prepay;
use super::token::{code_url, position_of_code_url, position_of_prepay_id, prepay_id};
use super::transaction::{Notice, Party, TradeType};

/// An order, without what is the same in thousands of them (those texts are shared).
#[derive(Debug)]
pub(super) struct Order {
    pub(super) out_trade_no: Arc<str>,
    pub(super) trade_type: TradeType,
    pub(super) party: Party,
    pub(super) description: Arc<str>,
    pub(super) total_fen: i64,
    pub(super) attach: Option<Box<str>>,
    pub(super) notify_url: Arc<str>,
    /// The money is frozen until it is shared or unfrozen.
    pub(super) profit_sharing: bool,
    pub(super) state: OrderState,
    /// When it was paid, by the machine's clock, which goes on under a test's clock that does not.
    pub(super) paid_instant: Option<Instant>,
    /// The coupon 代金券 that paid some of it.
    pub(super) coupon: Option<Coupon>,
    /// A refund was accepted once.
    pub(super) refunded: bool,
    /// The user is at the sheet and enters the password: the merchant cannot close meanwhile.
    paying: bool,
    /// The one code that works, of a native order.
    code: Option<Box<str>>,
    expires_at: OffsetDateTime,
    fingerprint: [u8; 32],
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OrderState {
    NotPaid,
    Paid {
        transaction_id: Arc<str>,
        paid_at: OffsetDateTime,
    },
    Closed,
}

impl Order {
    /// What the user pays with: a prepay id, or a code in which the order's other codes end.
    fn token(&mut self, position: u64, unique: u64, now: OffsetDateTime) -> String {
        match self.trade_type {
            TradeType::Jsapi => prepay_id(position, unique, now),
            TradeType::Native => {
                let code = code_url(position, unique, now);
                self.code = Some(code.as_str().into());
                code
            }
        }
    }

    /// What the merchant gets of it, before the fee: 应结订单金额.
    pub(super) fn settled_fen(&self) -> i64 {
        let borne = self
            .coupon
            .as_ref()
            .map_or(0, Coupon::borne_by_merchant_fen);
        self.total_fen.saturating_sub(borne)
    }

    /// `trade_state` and its description.
    pub(super) fn trade_state(&self) -> (&'static str, &'static str) {
        match self.state {
            OrderState::NotPaid => ("NOTPAY", "订单未支付"),
            OrderState::Closed => ("CLOSED", "订单已关闭"),
            OrderState::Paid { .. } if self.refunded => {
                ("REFUND", "订单发生过退款，退款详情请查询退款单")
            }
            OrderState::Paid { .. } => ("SUCCESS", "支付成功"),
        }
    }

    /// The payment as WeChat states it, once there is one.
    pub(super) fn notice(&self) -> Option<Notice> {
        match &self.state {
            OrderState::NotPaid | OrderState::Closed => None,
            OrderState::Paid {
                transaction_id,
                paid_at,
            } => Some(Notice {
                out_trade_no: self.out_trade_no.to_string(),
                transaction_id: transaction_id.to_string(),
                party: self.party.clone(),
                trade_type: self.trade_type,
                total_fen: self.total_fen,
                coupon: self.coupon.clone(),
                attach: self.attach.as_deref().map(str::to_owned),
                paid_at: *paid_at,
            }),
        }
    }
}

/// How an order is named by whoever pays it.
#[derive(Debug, Clone, Copy)]
pub(super) enum OrderName<'a> {
    OutTradeNo(&'a str),
    PrepayId(&'a str),
    CodeUrl(&'a str),
}

/// Why a prepay was refused although it keeps all rules for fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reentry {
    OtherParameters,
    Paid,
    Closed,
}

/// Why an order was not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotClosed {
    Unknown,
    Paid,
    Paying,
}

/// Orders from the oldest kept to the newest.
#[derive(Debug)]
pub(super) struct Orders {
    kept: VecDeque<Order>,
    /// The position of the oldest kept one. Positions never repeat, not even after a restart: a token
    /// from before it must not pay somebody else's order.
    first: u64,
    positions: HashMap<Arc<str>, u64>,
    transactions: HashMap<Arc<str>, u64>,
    texts: HashSet<Arc<str>>,
    kept_max: usize,
}

impl Orders {
    pub(super) fn new(kept_max: usize, first: u64) -> Self {
        Self {
            kept: VecDeque::new(),
            first,
            positions: HashMap::new(),
            transactions: HashMap::new(),
            texts: HashSet::new(),
            kept_max: kept_max.max(1),
        }
    }

    /// Takes a prepay in and answers with a fresh prepay id, or with a fresh code that kills the
    /// one before; the same parameters may come again.
    pub(super) fn prepay(
        &mut self,
        prepay: Prepay,
        unique: u64,
        now: OffsetDateTime,
    ) -> Result<String, Reentry> {
        if let Some(position) = self.positions.get(prepay.out_trade_no.as_str()).copied() {
            let order = self.at_mut(position).ok_or(Reentry::Closed)?;
            return match order.state {
                OrderState::Paid { .. } => Err(Reentry::Paid),
                OrderState::Closed => Err(Reentry::Closed),
                OrderState::NotPaid
                    if order.fingerprint != prepay.fingerprint
                        || order.trade_type != prepay.trade_type =>
                {
                    Err(Reentry::OtherParameters)
                }
                OrderState::NotPaid => Ok(order.token(position, unique, now)),
            };
        }
        if self.kept.len() >= self.kept_max {
            self.forget_oldest();
        }
        let out_trade_no: Arc<str> = prepay.out_trade_no.into();
        let position = self.first + u64::try_from(self.kept.len()).unwrap_or(u64::MAX);
        let mut order = Order {
            out_trade_no: Arc::clone(&out_trade_no),
            trade_type: prepay.trade_type,
            party: prepay.party,
            description: self.shared(&prepay.description),
            total_fen: prepay.total_fen,
            attach: prepay.attach.map(String::into_boxed_str),
            notify_url: self.shared(&prepay.notify_url),
            profit_sharing: prepay.profit_sharing,
            state: OrderState::NotPaid,
            paid_instant: None,
            coupon: None,
            refunded: false,
            paying: false,
            code: None,
            expires_at: prepay.expires_at,
            fingerprint: prepay.fingerprint,
        };
        let token = order.token(position, unique, now);
        self.kept.push_back(order);
        self.positions.insert(out_trade_no, position);
        Ok(token)
    }

    /// The user pays, perhaps some of it with a coupon: the order becomes `SUCCESS`, once.
    pub(super) fn pay(
        &mut self,
        name: OrderName<'_>,
        (openid, coupon): (Option<&str>, Option<Coupon>),
        transaction_id: &str,
        now: OffsetDateTime,
    ) -> Result<&Order, PayError> {
        let position = self.position(name, now)?;
        let order = self.at_mut(position).ok_or(PayError::UnknownOrder)?;
        match order.state {
            OrderState::Paid { .. } => return Err(PayError::AlreadyPaid),
            OrderState::Closed => return Err(PayError::Closed),
            OrderState::NotPaid => {}
        }
        if now >= order.expires_at {
            return Err(PayError::Expired);
        }
        match (order.trade_type, openid) {
            (TradeType::Native, None) => return Err(PayError::NobodyScanned),
            (TradeType::Native, Some(openid)) => order.party.set_payer(openid),
            (TradeType::Jsapi, Some(openid)) if openid != order.party.payer() => {
                return Err(PayError::OtherPayer);
            }
            (TradeType::Jsapi, Some(_) | None) => {}
        }
        if coupon
            .as_ref()
            .is_some_and(|coupon| !(1..order.total_fen).contains(&coupon.amount_fen))
        {
            return Err(PayError::CouponTooLarge);
        }
        order.coupon = coupon;
        order.paying = false;
        order.paid_instant = Some(Instant::now());
        let transaction_id: Arc<str> = transaction_id.into();
        order.state = OrderState::Paid {
            transaction_id: Arc::clone(&transaction_id),
            paid_at: now,
        };
        self.transactions.insert(transaction_id, position);
        self.at(position).ok_or(PayError::UnknownOrder)
    }

    /// The merchant closes the order; again changes nothing. `busy`: as if the user were paying.
    pub(super) fn close(&mut self, out_trade_no: &str, busy: bool) -> Result<(), NotClosed> {
        let order = self.order_mut(out_trade_no).ok_or(NotClosed::Unknown)?;
        match order.state {
            OrderState::Paid { .. } => Err(NotClosed::Paid),
            OrderState::NotPaid if order.paying || busy => Err(NotClosed::Paying),
            OrderState::NotPaid | OrderState::Closed => {
                order.state = OrderState::Closed;
                Ok(())
            }
        }
    }

    /// The user opens the sheet and begins to enter the password, or leaves it.
    pub(super) fn set_paying(&mut self, out_trade_no: &str, paying: bool) -> Result<(), PayError> {
        let order = self.order_mut(out_trade_no).ok_or(PayError::UnknownOrder)?;
        match order.state {
            OrderState::Paid { .. } => Err(PayError::AlreadyPaid),
            OrderState::Closed => Err(PayError::Closed),
            OrderState::NotPaid => {
                order.paying = paying;
                Ok(())
            }
        }
    }

    /// A refund was accepted: `SUCCESS` becomes `REFUND`.
    pub(super) fn set_refunded(&mut self, out_trade_no: &str) {
        if let Some(order) = self.order_mut(out_trade_no) {
            order.refunded = true;
        }
    }

    fn order_mut(&mut self, out_trade_no: &str) -> Option<&mut Order> {
        let position = self.positions.get(out_trade_no).copied()?;
        self.at_mut(position)
    }

    pub(super) fn by_number(&self, out_trade_no: &str) -> Option<&Order> {
        self.at(*self.positions.get(out_trade_no)?)
    }

    pub(super) fn by_transaction(&self, transaction_id: &str) -> Option<&Order> {
        self.at(*self.transactions.get(transaction_id)?)
    }

    pub(super) fn by_name(
        &self,
        name: OrderName<'_>,
        now: OffsetDateTime,
    ) -> Result<&Order, PayError> {
        self.at(self.position(name, now)?)
            .ok_or(PayError::UnknownOrder)
    }

    /// Newest first.
    pub(super) fn newest(&self) -> impl Iterator<Item = &Order> {
        self.kept.iter().rev()
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    fn position(&self, name: OrderName<'_>, now: OffsetDateTime) -> Result<u64, PayError> {
        match name {
            OrderName::OutTradeNo(number) => self
                .positions
                .get(number)
                .copied()
                .ok_or(PayError::UnknownOrder),
            OrderName::PrepayId(id) => {
                let position = position_of_prepay_id(id, now)?;
                match self.at(position).map(|order| order.trade_type) {
                    Some(TradeType::Jsapi) => Ok(position),
                    Some(TradeType::Native) | None => Err(PayError::UnknownOrder),
                }
            }
            OrderName::CodeUrl(code) => {
                let position = position_of_code_url(code, now)?;
                let order = self.at(position).ok_or(PayError::UnknownOrder)?;
                if order.code.as_deref() == Some(code) {
                    Ok(position)
                } else {
                    Err(PayError::CodeExpired)
                }
            }
        }
    }

    fn at(&self, position: u64) -> Option<&Order> {
        self.kept
            .get(usize::try_from(position.checked_sub(self.first)?).ok()?)
    }

    fn at_mut(&mut self, position: u64) -> Option<&mut Order> {
        self.kept
            .get_mut(usize::try_from(position.checked_sub(self.first)?).ok()?)
    }

    fn forget_oldest(&mut self) {
        if let Some(order) = self.kept.pop_front() {
            self.first += 1;
            self.positions.remove(&order.out_trade_no);
            if let OrderState::Paid { transaction_id, .. } = order.state {
                self.transactions.remove(&transaction_id);
            }
        }
    }

    /// One copy of texts that come again and again. Starts over when there are too many of them.
    fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        if self.texts.len() >= 10_000 {
            self.texts.clear();
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00:00 UTC);

    fn prepay(number: &str, fingerprint: u8) -> Prepay {
        Prepay {
            out_trade_no: number.to_owned(),
            trade_type: TradeType::Jsapi,
            party: Party::Direct {
                openid: "oA".to_owned(),
            },
            description: "x".to_owned(),
            total_fen: 100,
            attach: None,
            notify_url: "https://example.com/n".to_owned(),
            expires_at: NOW + Duration::days(7),
            profit_sharing: false,
            fingerprint: [fingerprint; 32],
        }
    }

    #[test]
    fn reentry_gives_a_fresh_id_for_the_same_parameters_only() {
        let mut orders = Orders::new(10, 1_795_268_258_000_000);
        let first = orders.prepay(prepay("ORDER-1", 1), 1, NOW).unwrap();
        let second = orders.prepay(prepay("ORDER-1", 1), 2, NOW).unwrap();
        assert_eq!(first.len(), 36);
        assert_ne!(first, second);
        assert_eq!(orders.len(), 1);
        let other = orders.prepay(prepay("ORDER-1", 2), 3, NOW);
        assert_eq!(other, Err(Reentry::OtherParameters));
        // Both ids are tokens for the one order, and it is paid once.
        let pay = |orders: &mut Orders, id: &str| {
            orders
                .pay(OrderName::PrepayId(id), (Some("oA"), None), "42", NOW)
                .map(|_| ())
        };
        assert_eq!(pay(&mut orders, &first), Ok(()));
        assert_eq!(pay(&mut orders, &second), Err(PayError::AlreadyPaid));
        assert_eq!(
            orders.prepay(prepay("ORDER-1", 1), 4, NOW),
            Err(Reentry::Paid)
        );
        assert_eq!(
            &*orders.by_transaction("42").unwrap().out_trade_no,
            "ORDER-1"
        );
        assert_eq!(orders.close("ORDER-1", false), Err(NotClosed::Paid));
    }

    #[test]
    fn a_closed_an_expired_and_another_users_order_cannot_be_paid() {
        let mut orders = Orders::new(10, 1_795_268_258_000_000);
        let id = orders.prepay(prepay("ORDER-1", 1), 1, NOW).unwrap();
        let pay = |orders: &mut Orders, openid: &str, now| {
            orders
                .pay(OrderName::PrepayId(&id), (Some(openid), None), "42", now)
                .map(|_| ())
        };
        assert_eq!(pay(&mut orders, "oB", NOW), Err(PayError::OtherPayer));
        let later = NOW + Duration::hours(2) + Duration::seconds(1);
        assert_eq!(pay(&mut orders, "oA", later), Err(PayError::PrepayExpired));
        let week = NOW + Duration::days(7);
        let by_number = orders.pay(OrderName::OutTradeNo("ORDER-1"), (None, None), "42", week);
        assert_eq!(by_number.map(|_| ()), Err(PayError::Expired));
        orders.set_paying("ORDER-1", true).unwrap();
        assert_eq!(orders.close("ORDER-1", false), Err(NotClosed::Paying));
        orders.set_paying("ORDER-1", false).unwrap();
        assert_eq!(orders.close("ORDER-1", true), Err(NotClosed::Paying));
        assert_eq!(orders.close("ORDER-1", false), Ok(()));
        assert_eq!(orders.close("ORDER-1", true), Ok(()));
        assert_eq!(pay(&mut orders, "oA", NOW), Err(PayError::Closed));
        assert_eq!(
            orders.prepay(prepay("ORDER-1", 1), 2, NOW),
            Err(Reentry::Closed)
        );
    }

    #[test]
    fn a_native_order_is_paid_by_whoever_scans_its_newest_code() {
        let mut orders = Orders::new(10, 1_795_268_258_000_000);
        let native = || Prepay {
            trade_type: TradeType::Native,
            party: Party::Direct {
                openid: String::new(),
            },
            ..prepay("ORDER-1", 1)
        };
        let first = orders.prepay(native(), 1, NOW).unwrap();
        let second = orders.prepay(native(), 2, NOW).unwrap();
        assert_ne!(first, second);
        let jsapi = orders.prepay(prepay("ORDER-1", 1), 3, NOW);
        assert_eq!(jsapi, Err(Reentry::OtherParameters));
        let pay = |orders: &mut Orders, code: &str, openid, now| {
            let paid = orders.pay(OrderName::CodeUrl(code), (openid, None), "42", now);
            paid.map(|order| order.party.payer().to_owned())
        };
        let late = NOW + Duration::hours(2) + Duration::seconds(1);
        assert_eq!(
            pay(&mut orders, &first, Some("oB"), NOW),
            Err(PayError::CodeExpired)
        );
        assert_eq!(
            pay(&mut orders, &second, Some("oB"), late),
            Err(PayError::CodeExpired)
        );
        assert_eq!(
            pay(&mut orders, &second, None, NOW),
            Err(PayError::NobodyScanned)
        );
        let token = second.replace("weixin://wxpay/bizpayurl?pr=", "wx");
        let by_token = orders.pay(OrderName::PrepayId(&token), (Some("oB"), None), "42", NOW);
        assert_eq!(by_token.map(|_| ()), Err(PayError::UnknownOrder));
        assert_eq!(
            pay(&mut orders, &second, Some("oB"), NOW).as_deref(),
            Ok("oB")
        );
        assert_eq!(
            pay(&mut orders, &second, Some("oC"), NOW),
            Err(PayError::AlreadyPaid)
        );
    }

    #[test]
    fn the_oldest_are_forgotten_and_the_rest_are_still_found() {
        let mut orders = Orders::new(2, 1_795_268_258_000_000);
        let ids: Vec<_> = (0..4)
            .map(|n| {
                orders
                    .prepay(prepay(&format!("ORDER-{n}"), 1), n, NOW)
                    .unwrap()
            })
            .collect();
        assert_eq!(orders.len(), 2);
        assert!(orders.by_number("ORDER-1").is_none());
        let pay = |orders: &mut Orders, id: &str| {
            orders
                .pay(OrderName::PrepayId(id), (None, None), id, NOW)
                .map(|o| o.out_trade_no.to_string())
        };
        assert_eq!(pay(&mut orders, &ids[1]), Err(PayError::UnknownOrder));
        assert_eq!(pay(&mut orders, &ids[3]).as_deref(), Ok("ORDER-3"));
        assert_eq!(pay(&mut orders, "wx20261121"), Err(PayError::UnknownOrder));
    }
}
