//! Who is going to pay what, where. Pure: the same seed on the same platform is the same day.

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// A collection code on some shop's counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counter {
    /// The shop's place in the platform's list.
    pub(super) shop: usize,
    pub(super) code: String,
    /// `None`: the customer types the amount.
    pub(super) amount_fen: Option<i64>,
}

/// What one customer is going to do at one counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) number: usize,
    pub(super) customer: usize,
    pub(super) counter: Counter,
    pub(super) amount_fen: i64,
    /// The phone sends its request twice at once, as impatient fingers do.
    pub(super) twice: bool,
    /// The customer looks at the pay sheet and walks away.
    pub(super) abandoned: bool,
    /// The customer first tries to pay something else than the fixed code asks for.
    pub(super) wrong_first: bool,
}

/// How large the day is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) seed: u64,
    pub(super) payments: usize,
    pub(super) customers: usize,
}

/// The day's wishes in the order in which they come up.
pub(super) fn plan(size: Size, counters: &[Counter]) -> Vec<Wish> {
    let mut rng = StdRng::seed_from_u64(size.seed);
    // One customer in fifty is a regular, and there is one at least. They run into the daily cap.
    let regulars = size.customers.div_ceil(50);
    let mut wishes = Vec::with_capacity(size.payments);
    if counters.is_empty() || size.customers == 0 {
        return wishes;
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
        wishes.push(Wish {
            number,
            customer,
            amount_fen: counter.amount_fen.unwrap_or(typed),
            twice: rng.random_ratio(1, 20),
            abandoned: rng.random_ratio(1, 50),
            wrong_first: rng.random_ratio(1, 20) && counter.amount_fen.is_some(),
            counter,
        });
    }
    wishes
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
        let counter = |shop, amount_fen| Counter {
            shop,
            code: format!("CODE{shop}"),
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
        assert!(day.iter().all(|wish| wish.customer < 100));
        let count = |of: fn(&Wish) -> bool| day.iter().filter(|wish| of(wish)).count();
        assert!((60..140).contains(&count(|wish| wish.twice)));
        assert!((20..60).contains(&count(|wish| wish.abandoned)));
        assert!((20..80).contains(&count(|wish| wish.wrong_first)));
        assert!(count(|wish| wish.wrong_first && wish.counter.amount_fen.is_none()) == 0);
        let fixed = |wish: &Wish| {
            wish.counter
                .amount_fen
                .is_none_or(|fen| fen == wish.amount_fen)
        };
        assert!(day.iter().all(fixed));
    }

    #[test]
    fn without_shops_or_customers_nothing_happens() {
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
