//! What the service says before and after the day, and the waiting in between.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::{
    answer::{Payment, PointsRule, Statistics, Totals},
    desk::{self, DeskReport},
    patience::ApiError,
    progress::{bar, spinner},
    service::{Person, Service},
    tenant::Merchant,
    visit::Visit,
    wechat::{Fate, Wechat, WechatRefund, WechatStats},
    world::World,
};
use zhangfang::primitives::BusinessDay;

/// Longer than the pause after the second refused callback: without news for so long, no more will
/// come soon.
const QUIET: Duration = Duration::from_secs(35);
/// Callbacks that are refused again and again come for a day; nobody waits for the last of them.
const CALLBACKS_MAX: Duration = Duration::from_secs(150);
/// The relay is a moment behind.
const RELAY_MAX: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// A customer before the day.
#[derive(Debug, Clone)]
pub(super) struct Before {
    pub(super) statistics: Statistics,
    /// Where to stop reading afterwards.
    newest_order: Option<String>,
}

/// The books before the day.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) today: BusinessDay,
    pub(super) totals: Vec<Totals>,
    /// By the customer's place.
    pub(super) customers: Vec<Before>,
    pub(super) callbacks: BTreeMap<String, u64>,
    pub(super) wechat: WechatStats,
}

/// The books after it.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) totals: Vec<Totals>,
    /// By the customer's place: what they earned ever, and the orders that are new.
    pub(super) customers: Vec<(i64, Vec<Payment>)>,
    pub(super) callbacks: BTreeMap<String, u64>,
    pub(super) wechat: WechatStats,
    pub(super) rule: PointsRule,
    /// WeChat's newest refunds.
    pub(super) wechat_refunds: Vec<WechatRefund>,
    pub(super) desk: DeskReport,
}

/// Reads the books before anything happens.
pub(super) async fn open(
    world: World<'_>,
    today: BusinessDay,
    at_once: usize,
) -> Result<Opening, ApiError> {
    let bar = bar("opening the books", world.customers.len());
    let before = async |customer: &Person| {
        let newest = world.service.payments(customer, "1", None).await?.items;
        bar.inc(1);
        world.go_on()?;
        Ok::<_, ApiError>(Before {
            statistics: world.service.statistics(customer).await?,
            newest_order: newest.into_iter().next().map(|order| order.order_no),
        })
    };
    let customers = stream::iter(world.customers).map(before).buffered(at_once);
    let opening = Opening {
        today,
        customers: customers.try_collect().await?,
        totals: totals(world.service, &world.tenant.merchants, today).await?,
        callbacks: callbacks(&world.service.metrics().await?),
        wechat: world.wechat.stats().await?,
    };
    bar.finish_and_clear();
    Ok(opening)
}

/// Reads them again.
pub(super) async fn close(
    world: World<'_>,
    opening: &Opening,
    visits: &[Visit],
    at_once: usize,
) -> Result<Closing, ApiError> {
    let bar = bar("reading the books", world.customers.len());
    let after = async |(customer, before): (&Person, &Before)| {
        let orders = new_orders(world.service, customer, before).await?;
        bar.inc(1);
        Ok::<_, ApiError>((
            world.service.statistics(customer).await?.earned_total,
            orders,
        ))
    };
    let people = world.customers.iter().zip(&opening.customers);
    let customers = stream::iter(people).map(after).buffered(at_once);
    let closing = Closing {
        customers: customers.try_collect().await?,
        totals: totals(world.service, &world.tenant.merchants, opening.today).await?,
        callbacks: callbacks(&world.service.metrics().await?),
        wechat: world.wechat.stats().await?,
        rule: world.service.rule(&world.operators.admin).await?,
        wechat_refunds: world.wechat.refunds().await?,
        desk: desk::look_through(world, visits).await?,
    };
    bar.finish_and_clear();
    Ok(closing)
}

/// The orders since the opening, whoever made them.
async fn new_orders(
    service: &Service,
    customer: &Person,
    before: &Before,
) -> Result<Vec<Payment>, ApiError> {
    let (mut orders, mut cursor) = (Vec::new(), None);
    loop {
        let page = service.payments(customer, "100", cursor.as_deref()).await?;
        for order in page.items {
            if Some(&order.order_no) == before.newest_order.as_ref() {
                return Ok(orders);
            }
            orders.push(order);
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(orders);
        }
    }
}

/// What each merchant took in around that day: also on the day before and after, for WeChat's clock
/// decides on which a payment counts.
async fn totals(
    service: &Service,
    merchants: &[Merchant],
    today: BusinessDay,
) -> Result<Vec<Totals>, ApiError> {
    let yesterday = BusinessDay(today.0.previous_day().unwrap_or(today.0));
    let mut totals = Vec::with_capacity(merchants.len());
    for merchant in merchants {
        totals.push(
            service
                .totals(&merchant.owner, yesterday, today.plus_days(1))
                .await?,
        );
    }
    Ok(totals)
}

/// `callbacks_total{outcome="settled"} 17` of the service's metrics.
fn callbacks(metrics: &str) -> BTreeMap<String, u64> {
    let read = |line: &str| {
        let (outcome, count) = line
            .strip_prefix("callbacks_total{outcome=\"")?
            .split_once("\"} ")?;
        Some((outcome.to_owned(), count.trim().parse().ok()?))
    };
    metrics.lines().filter_map(read).collect()
}

/// Counts since the opening. None when one has fallen: then the process began to count anew.
pub(super) fn grown(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) -> Option<BTreeMap<String, u64>> {
    let mut grown = after.clone();
    for (outcome, then) in before {
        let now = grown.get_mut(outcome)?;
        *now = now.checked_sub(*then)?;
    }
    grown.retain(|_, count| *count > 0);
    Some(grown)
}

/// Waits until WeChat has nothing more to send: until so many callbacks are acknowledged, or a
/// while has passed without news.
pub(super) async fn wait_for_callbacks(
    wechat: &Wechat,
    before: WechatStats,
    fates: &[&Fate],
    ending: &CancellationToken,
) -> Result<(), ApiError> {
    let spinner = spinner("waiting for WeChat");
    let begun = Instant::now();
    let (mut seen, mut news_at) = (before, begun);
    while !ending.is_cancelled() && begun.elapsed() < CALLBACKS_MAX && news_at.elapsed() < QUIET {
        let stats = wechat.stats().await?;
        let since = stats.since(before);
        let acknowledged = since.callbacks_acknowledged;
        let acknowledgements = expected(since, fates);
        spinner.set_message(format!(
            "{acknowledged} of {acknowledgements} callbacks acknowledged"
        ));
        if acknowledged >= acknowledgements {
            break;
        }
        if stats != seen {
            (seen, news_at) = (stats, Instant::now());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    spinner.finish_and_clear();
    Ok(())
}

/// How many genuine callbacks a service without interruptions acknowledges: of the payments, whose
/// fates are known, and one for each refund that has ended and whose callback was not lost.
fn expected(since: WechatStats, fates: &[&Fate]) -> u64 {
    let of_payments: u64 = fates.iter().map(|fate| fate.acknowledgements()).sum();
    let lost = fates.iter().filter(|fate| fate.is_lost()).count();
    let lost = u64::try_from(lost).unwrap_or(u64::MAX);
    let lost_of_refunds = since.callbacks_lost.saturating_sub(lost);
    of_payments.saturating_add(since.refunds_ended.saturating_sub(lost_of_refunds))
}

/// Waits until the merchants' totals say what they should, or no longer.
pub(super) async fn wait_for_relay(
    world: World<'_>,
    opening: &Opening,
    expected: &[Totals],
) -> Result<(), ApiError> {
    let spinner = spinner("waiting for the relay");
    let begun = Instant::now();
    while !world.ending.is_cancelled() && begun.elapsed() < RELAY_MAX {
        let now = totals(world.service, &world.tenant.merchants, opening.today).await?;
        let taken_in = now
            .iter()
            .zip(&opening.totals)
            .map(|(now, then)| now.since(*then));
        let behind = taken_in
            .zip(expected)
            .filter(|(now, expected)| now.money() != expected.money())
            .count();
        spinner.set_message(format!("{behind} merchants do not see all their money yet"));
        if behind == 0 {
            break;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    spinner.finish_and_clear();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callbacks_are_read_from_the_metrics() {
        let read = callbacks(
            "# TYPE callbacks_total counter\ncallbacks_total{outcome=\"settled\"} 17\n\
             callbacks_total{outcome=\"bad_signature\"} 2\nother_total{outcome=\"x\"} 3\n",
        );
        assert_eq!(read.len(), 2);
        assert_eq!((read["settled"], read["bad_signature"]), (17, 2));
    }

    #[test]
    fn callbacks_that_were_lost_are_not_waited_for() {
        let fate = |faults: &str| -> Fate {
            serde_json::from_str(&format!(r#"{{"faults":[{faults}]}}"#)).unwrap()
        };
        let (plain, twin, lost) = (fate(""), fate(r#""twin""#), fate(r#""lost""#));
        let since = WechatStats {
            refunds_ended: 5,
            callbacks_lost: 3,
            ..WechatStats::default()
        };
        // One payment's callback was lost, so two of the five refunds' were.
        assert_eq!(expected(since, &[&plain, &twin, &lost]), 1 + 2 + 3);
    }

    #[test]
    fn a_process_that_was_restarted_is_noticed() {
        let of = |settled, duplicate| {
            BTreeMap::from([
                ("settled".to_owned(), settled),
                ("duplicate".to_owned(), duplicate),
            ])
        };
        let two_settled = BTreeMap::from([("settled".to_owned(), 2)]);
        assert_eq!(grown(&of(10, 5), &of(12, 5)), Some(two_settled));
        assert_eq!(grown(&of(10, 5), &of(3, 9)), None);
        assert_eq!(grown(&of(10, 5), &BTreeMap::new()), None);
    }
}
