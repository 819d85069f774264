//! The orders WeChat knows: `NOTPAY`, then `SUCCESS` or `CLOSED`.
//!
//! Everything is in memory and bounded: past the limit the oldest orders are forgotten, paid or not.
//! A prepay id carries the order's place in the queue, so no second index is needed to find it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use super::clock::compact;
use super::error::PayError;
use super::prepay::Prepay;
use super::transaction::{Notice, Party};

/// An order, without what is the same in thousands of them (those texts are shared).
#[derive(Debug)]
pub(super) struct Order {
    pub(super) out_trade_no: Arc<str>,
    pub(super) party: Party,
    pub(super) description: Arc<str>,
    pub(super) total_fen: i64,
    pub(super) attach: Option<Box<str>>,
    pub(super) notify_url: Arc<str>,
    pub(super) state: OrderState,
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
    /// The payment as WeChat tells of it, once there is one.
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
                total_fen: self.total_fen,
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
}

/// Why a prepay was refused although it keeps all rules for fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reentry {
    OtherParameters,
    Paid,
    Closed,
}

/// Orders from the oldest kept to the newest.
#[derive(Debug)]
pub(super) struct Orders {
    kept: VecDeque<Order>,
    /// The place of the oldest kept one. Places never repeat, not even after a restart: a ticket
    /// from before it must not pay somebody else's order.
    first: u64,
    places: HashMap<Arc<str>, u64>,
    transactions: HashMap<Arc<str>, u64>,
    texts: HashSet<Arc<str>>,
    kept_max: usize,
}

impl Orders {
    pub(super) fn new(kept_max: usize, first: u64) -> Self {
        Self {
            kept: VecDeque::new(),
            first,
            places: HashMap::new(),
            transactions: HashMap::new(),
            texts: HashSet::new(),
            kept_max: kept_max.max(1),
        }
    }

    /// Takes a prepay in and answers with a fresh prepay id; the same parameters may come again.
    pub(super) fn prepay(
        &mut self,
        prepay: Prepay,
        unique: u64,
        now: OffsetDateTime,
    ) -> Result<String, Reentry> {
        if let Some(place) = self.places.get(prepay.out_trade_no.as_str()).copied() {
            let order = self.at(place).ok_or(Reentry::Closed)?;
            return match order.state {
                OrderState::Paid { .. } => Err(Reentry::Paid),
                OrderState::Closed => Err(Reentry::Closed),
                OrderState::NotPaid if order.fingerprint != prepay.fingerprint => {
                    Err(Reentry::OtherParameters)
                }
                OrderState::NotPaid => Ok(prepay_id(place, unique, now)),
            };
        }
        if self.kept.len() >= self.kept_max {
            self.forget_oldest();
        }
        let out_trade_no: Arc<str> = prepay.out_trade_no.into();
        let place = self.first + u64::try_from(self.kept.len()).unwrap_or(u64::MAX);
        let order = Order {
            out_trade_no: Arc::clone(&out_trade_no),
            party: prepay.party,
            description: self.shared(&prepay.description),
            total_fen: prepay.total_fen,
            attach: prepay.attach.map(String::into_boxed_str),
            notify_url: self.shared(&prepay.notify_url),
            state: OrderState::NotPaid,
            expires_at: prepay.expires_at,
            fingerprint: prepay.fingerprint,
        };
        self.kept.push_back(order);
        self.places.insert(out_trade_no, place);
        Ok(prepay_id(place, unique, now))
    }

    /// The user pays: the order becomes `SUCCESS`, once.
    pub(super) fn pay(
        &mut self,
        name: OrderName<'_>,
        openid: Option<&str>,
        transaction_id: &str,
        now: OffsetDateTime,
    ) -> Result<&Order, PayError> {
        let place = self.place(name, now)?;
        let order = self.at_mut(place).ok_or(PayError::UnknownOrder)?;
        match order.state {
            OrderState::Paid { .. } => return Err(PayError::AlreadyPaid),
            OrderState::Closed => return Err(PayError::Closed),
            OrderState::NotPaid => {}
        }
        if now >= order.expires_at {
            return Err(PayError::Expired);
        }
        if openid.is_some_and(|openid| openid != order.party.payer()) {
            return Err(PayError::OtherPayer);
        }
        let transaction_id: Arc<str> = transaction_id.into();
        order.state = OrderState::Paid {
            transaction_id: Arc::clone(&transaction_id),
            paid_at: now,
        };
        self.transactions.insert(transaction_id, place);
        self.at(place).ok_or(PayError::UnknownOrder)
    }

    /// The merchant closes the order; again changes nothing. `None` if it is paid.
    pub(super) fn close(&mut self, out_trade_no: &str) -> Option<()> {
        let place = self.places.get(out_trade_no).copied()?;
        let order = self.at_mut(place)?;
        match order.state {
            OrderState::Paid { .. } => None,
            OrderState::NotPaid | OrderState::Closed => {
                order.state = OrderState::Closed;
                Some(())
            }
        }
    }

    pub(super) fn by_number(&self, out_trade_no: &str) -> Option<&Order> {
        self.at(*self.places.get(out_trade_no)?)
    }

    pub(super) fn by_transaction(&self, transaction_id: &str) -> Option<&Order> {
        self.at(*self.transactions.get(transaction_id)?)
    }

    pub(super) fn by_name(
        &self,
        name: OrderName<'_>,
        now: OffsetDateTime,
    ) -> Result<&Order, PayError> {
        self.at(self.place(name, now)?)
            .ok_or(PayError::UnknownOrder)
    }

    /// Newest first.
    pub(super) fn newest(&self) -> impl Iterator<Item = &Order> {
        self.kept.iter().rev()
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    fn place(&self, name: OrderName<'_>, now: OffsetDateTime) -> Result<u64, PayError> {
        match name {
            OrderName::OutTradeNo(number) => self
                .places
                .get(number)
                .copied()
                .ok_or(PayError::UnknownOrder),
            OrderName::PrepayId(id) => {
                let earliest = now.saturating_sub(PREPAY_LIFE);
                let (issued, place) = prepay_parts(id).ok_or(PayError::UnknownOrder)?;
                if issued < compact(earliest).as_str() {
                    return Err(PayError::PrepayExpired);
                }
                Ok(place)
            }
        }
    }

    fn at(&self, place: u64) -> Option<&Order> {
        self.kept
            .get(usize::try_from(place.checked_sub(self.first)?).ok()?)
    }

    fn at_mut(&mut self, place: u64) -> Option<&mut Order> {
        self.kept
            .get_mut(usize::try_from(place.checked_sub(self.first)?).ok()?)
    }

    fn forget_oldest(&mut self) {
        if let Some(order) = self.kept.pop_front() {
            self.first += 1;
            self.places.remove(&order.out_trade_no);
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

/// A prepay id is good for two hours, whatever the order's own time to pay.
const PREPAY_LIFE: Duration = Duration::hours(2);

/// 36 characters: `wx`, the second, 13 hex digits of the place and 7 that make it unlike the last.
fn prepay_id(place: u64, unique: u64, now: OffsetDateTime) -> String {
    format!(
        "wx{}{:013x}{:07x}",
        compact(now),
        place,
        unique & 0xfff_ffff
    )
}

fn prepay_parts(id: &str) -> Option<(&str, u64)> {
    let rest = id.strip_prefix("wx")?;
    if rest.len() != 34 || !rest.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let place = u64::from_str_radix(rest.get(14..27)?, 16).ok()?;
    Some((rest.get(..14)?, place))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00:00 UTC);

    fn prepay(number: &str, fingerprint: u8) -> Prepay {
        Prepay {
            out_trade_no: number.to_owned(),
            party: Party::Direct {
                openid: "oA".to_owned(),
            },
            description: "x".to_owned(),
            total_fen: 100,
            attach: None,
            notify_url: "https://example.com/n".to_owned(),
            expires_at: NOW + Duration::days(7),
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
        // Both ids are tickets for the one order, and it is paid once.
        let pay = |orders: &mut Orders, id: &str| {
            orders
                .pay(OrderName::PrepayId(id), Some("oA"), "42", NOW)
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
        assert!(orders.close("ORDER-1").is_none());
    }

    #[test]
    fn a_closed_an_expired_and_another_users_order_cannot_be_paid() {
        let mut orders = Orders::new(10, 1_795_268_258_000_000);
        let id = orders.prepay(prepay("ORDER-1", 1), 1, NOW).unwrap();
        let pay = |orders: &mut Orders, openid: &str, now| {
            orders
                .pay(OrderName::PrepayId(&id), Some(openid), "42", now)
                .map(|_| ())
        };
        assert_eq!(pay(&mut orders, "oB", NOW), Err(PayError::OtherPayer));
        let later = NOW + Duration::hours(2) + Duration::seconds(1);
        assert_eq!(pay(&mut orders, "oA", later), Err(PayError::PrepayExpired));
        let week = NOW + Duration::days(7);
        let by_number = orders.pay(OrderName::OutTradeNo("ORDER-1"), None, "42", week);
        assert_eq!(by_number.map(|_| ()), Err(PayError::Expired));
        assert!(orders.close("ORDER-1").is_some());
        assert!(orders.close("ORDER-1").is_some());
        assert_eq!(pay(&mut orders, "oA", NOW), Err(PayError::Closed));
        assert_eq!(
            orders.prepay(prepay("ORDER-1", 1), 2, NOW),
            Err(Reentry::Closed)
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
                .pay(OrderName::PrepayId(id), None, id, NOW)
                .map(|o| o.out_trade_no.to_string())
        };
        assert_eq!(pay(&mut orders, &ids[1]), Err(PayError::UnknownOrder));
        assert_eq!(pay(&mut orders, &ids[3]).as_deref(), Ok("ORDER-3"));
        assert_eq!(pay(&mut orders, "wx20261121"), Err(PayError::UnknownOrder));
    }
}
