//! Who is going to pay what, where. Pure: the same seed on the same tenant is the same day.

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// A collection code on some merchant's counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counter {
    /// The merchant's place in the tenant's list.
    pub(super) merchant: usize,
    pub(super) code: String,
    /// `None`: the customer types the amount.
    pub(super) amount_fen: Option<i64>,
}

/// What one customer is going to do at one counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Intent {
    pub(super) number: usize,
    pub(super) customer: usize,
    pub(super) counter: Counter,
    pub(super) amount_fen: i64,
    /// The phone sends its request twice at once, as impatient fingers do.
    pub(super) twice: bool,
    /// The customer first tries to pay something else than the fixed code asks for.
    pub(super) wrong_first: bool,
    pub(super) behaviour: Behaviour,
    /// Money goes back afterwards.
    pub(super) refund: Option<RefundIntent>,
}

/// What the customer does once there is something to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    Pay,
    /// Looks at the pay sheet and walks away; the order can still be paid when the day ends.
    WalkAway,
    /// Looks at the pay sheet first thing in the morning and walks away, with a minute to pay: the
    /// order expires while the day goes on.
    Forget,
    /// Taps on cancel.
    CloseOrder,
    /// Taps on cancel, of which WeChat does not learn, and pays all the same.
    PayLate,
    /// Scans what the merchant's screen shows.
    Scan,
    /// Pays and closes the app; WeChat's callback gets lost too, so the service has to ask by
    /// itself.
    Leave,
}

/// Who gives back how much, and what the second person says if one is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RefundIntent {
    pub(super) asker: Asker,
    /// All of it; half of it otherwise.
    pub(super) whole: bool,
    /// What the second person says.
    pub(super) agreed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    Merchant,
    Operator,
}

impl RefundIntent {
    /// Of a payment of `paid_fen`.
    pub(super) const fn amount_fen(self, paid_fen: i64) -> i64 {
        if self.whole || paid_fen < 2 {
            paid_fen
        } else {
            paid_fen / 2
        }
    }
}

/// As the phone page knows the customer in this place; the login code is the same after `sim-`.
pub(super) fn customer_name(index: usize) -> String {
    format!("demo-customer-{}", index + 1)
}

/// How large the day is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) seed: u64,
    pub(super) payments: usize,
    pub(super) customers: usize,
}

/// The day's payments in the order in which they come up.
pub(super) fn plan(size: Size, counters: &[Counter]) -> Vec<Intent> {
    let mut rng = StdRng::seed_from_u64(size.seed);
    // One customer in fifty is a regular, and there is one at least. They run into the daily cap.
    let regulars = size.customers.div_ceil(50);
    let mut intents = Vec::with_capacity(size.payments);
    if counters.is_empty() || size.customers == 0 {
        return intents;
    }
    for number in 0..size.payments {
        let among = if rng.random_ratio(1, 8) {
            regulars
        } else {
            size.customers
        };
        let customer = rng.random_range(0..among);
        let counter = counters[rng.random_range(0..counters.len())].clone();
        let typed = typed_amount(&mut rng);
        intents.push(Intent {
            number,
            customer,
            amount_fen: counter.amount_fen.unwrap_or(typed),
            twice: rng.random_ratio(1, 20),
            wrong_first: rng.random_ratio(1, 20) && counter.amount_fen.is_some(),
            behaviour: Behaviour::Pay,
            refund: None,
            counter,
        });
    }
    // Drawn by themselves, so that who pays what where stays as it is when there is more to do
    // afterwards.
    let mut rng = StdRng::seed_from_u64(size.seed.wrapping_add(1));
    for intent in &mut intents {
        intent.behaviour = behaviour(&mut rng);
        let refund = refund(&mut rng);
        intent.refund = match intent.behaviour {
            Behaviour::Pay | Behaviour::Scan => refund,
            Behaviour::WalkAway
            | Behaviour::Forget
            | Behaviour::CloseOrder
            | Behaviour::PayLate
            | Behaviour::Leave => None,
        };
    }
    intents
}

/// Of a thousand customers, ..
fn behaviour(rng: &mut StdRng) -> Behaviour {
    match rng.random_range(0..1_000) {
        0..10 => Behaviour::WalkAway,
        10..20 => Behaviour::Forget,
        20..40 => Behaviour::CloseOrder,
        40..45 => Behaviour::PayLate,
        45..75 => Behaviour::Scan,
        75..85 => Behaviour::Leave,
        _ => Behaviour::Pay,
    }
}

/// One payment in twenty goes back, mostly because the merchant says so.
fn refund(rng: &mut StdRng) -> Option<RefundIntent> {
    let is_wanted = rng.random_ratio(1, 20);
    let intent = RefundIntent {
        asker: if rng.random_ratio(2, 3) {
            Asker::Merchant
        } else {
            Asker::Operator
        },
        whole: rng.random_ratio(1, 2),
        agreed: rng.random_ratio(4, 5),
    };
    is_wanted.then_some(intent)
}

/// Mostly a few yuan, now and then some hundred; rarely round.
fn typed_amount(rng: &mut StdRng) -> i64 {
    match rng.random_range(0..10) {
        0..7 => rng.random_range(300..6_000),
        7..9 => rng.random_range(6_000..20_000),
        _ => rng.random_range(20_000..60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters() -> Vec<Counter> {
        let counter = |merchant, amount_fen| Counter {
            merchant,
            code: format!("CODE{merchant}"),
            amount_fen,
        };
        vec![counter(0, None), counter(1, Some(1_800))]
    }

    #[test]
    fn the_same_seed_is_the_same_day() {
        let day = |seed| {
            plan(
                Size {
                    seed,
                    payments: 50,
                    customers: 7,
                },
                &counters(),
            )
        };
        assert_eq!(day(1), day(1));
        assert_ne!(day(1), day(2));
    }

    #[test]
    fn a_day_has_a_bit_of_everything() {
        let day = plan(
            Size {
                seed: 7,
                payments: 2_000,
                customers: 100,
            },
            &counters(),
        );
        assert_eq!(day.len(), 2_000);
        assert!(day.iter().all(|intent| intent.customer < 100));
        let count = |of: fn(&Intent) -> bool| day.iter().filter(|intent| of(intent)).count();
        assert!((60..140).contains(&count(|intent| intent.twice)));
        assert!((25..60).contains(&count(|intent| intent.behaviour == Behaviour::CloseOrder)));
        assert!((40..80).contains(&count(|intent| intent.behaviour == Behaviour::Scan)));
        for behaviour in [
            Behaviour::WalkAway,
            Behaviour::Forget,
            Behaviour::PayLate,
            Behaviour::Leave,
        ] {
            let many = day
                .iter()
                .filter(|intent| intent.behaviour == behaviour)
                .count();
            assert!((2..40).contains(&many), "{behaviour:?}: {many}");
        }
        assert!((60..140).contains(&count(|intent| intent.refund.is_some())));
        let refunds = |of: fn(RefundIntent) -> bool| {
            day.iter()
                .filter_map(|intent| intent.refund)
                .filter(|intent| of(*intent))
                .count()
        };
        assert!(refunds(|intent| intent.asker == Asker::Operator) > 10);
        assert!(refunds(|intent| intent.whole) > 10 && refunds(|intent| !intent.whole) > 10);
        assert!(refunds(|intent| !intent.agreed) > 5);
        assert!(
            count(|intent| intent.refund.is_some() && intent.behaviour == Behaviour::CloseOrder)
                == 0
        );
        assert!((20..80).contains(&count(|intent| intent.wrong_first)));
        assert!(count(|intent| intent.wrong_first && intent.counter.amount_fen.is_none()) == 0);
        let fixed = |intent: &Intent| {
            intent
                .counter
                .amount_fen
                .is_none_or(|fen| fen == intent.amount_fen)
        };
        assert!(day.iter().all(fixed));
    }

    #[test]
    fn half_of_a_payment_is_never_nothing() {
        let half = RefundIntent {
            asker: Asker::Merchant,
            whole: false,
            agreed: true,
        };
        assert_eq!([1, 2, 999].map(|fen| half.amount_fen(fen)), [1, 1, 499]);
        assert_eq!(
            RefundIntent {
                whole: true,
                ..half
            }
            .amount_fen(999),
            999
        );
    }

    #[test]
    fn without_merchants_or_customers_nothing_happens() {
        assert!(
            plan(
                Size {
                    seed: 1,
                    payments: 5,
                    customers: 0
                },
                &counters()
            )
            .is_empty()
        );
        assert!(
            plan(
                Size {
                    seed: 1,
                    payments: 5,
                    customers: 5
                },
                &[]
            )
            .is_empty()
        );
    }
}
