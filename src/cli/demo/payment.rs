//! One payment, from the wish to the points: what the mini-program and the customer's thumbs do.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{
    answer::Payment,
    patience::{Gave, Heard},
    plan::Wish,
    service::{Person, Service},
    wechat::{Fate, Wechat},
};

/// How long the app waits for the callback before it has the service ask WeChat.
const ASK_AFTER: Duration = Duration::from_millis(1_500);
/// After this the customer shows the shop the receipt and leaves.
const WAIT_MAX: Duration = Duration::from_secs(90);
/// The same once somebody wants the demo to end.
const WAIT_AT_THE_END: Duration = Duration::from_secs(3);
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(20);
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(500);

/// Where the day happens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) service: &'a Service,
    pub(super) wechat: &'a Wechat,
    pub(super) customers: &'a [Person],
    /// Names this run in idempotency keys, so that the same seed makes new orders.
    pub(super) run: &'a str,
    pub(super) ending: &'a CancellationToken,
}

impl Scene<'_> {
    /// For what happens before anything is paid: ended there, there is nothing to tell.
    pub(super) fn go_on(&self) -> Result<(), Gave> {
        if self.ending.is_cancelled() {
            return Err(Gave::Up("ended before the first payment".to_owned()));
        }
        Ok(())
    }
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// Paid, and the service says so.
    Paid { points: i64, by_question: bool },
    /// Paid at WeChat, and the service has not said so in time.
    PaidUnseen(String),
    /// Made and left unpaid, as wished.
    Abandoned,
    /// Not paid, for this reason.
    Failed(String),
}

/// A wish and all that was seen of it.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) customer: usize,
    pub(super) shop: usize,
    pub(super) amount_fen: i64,
    pub(super) order_no: Option<String>,
    pub(super) end: End,
    /// The request was sent twice at once: whether both gave one order.
    pub(super) twice: Option<bool>,
    /// A wrong amount was tried: whether it was refused.
    pub(super) wrong_refused: Option<bool>,
    /// None when it is not known: the answer to the payment was lost.
    pub(super) fate: Option<Fate>,
    pub(super) create: Option<Duration>,
    pub(super) visible: Option<Duration>,
}

impl Visit {
    /// Whether the customer's money left.
    pub(super) fn is_paid_for(&self) -> bool {
        match self.end {
            End::Paid { .. } | End::PaidUnseen(_) => true,
            End::Abandoned | End::Failed(_) => false,
        }
    }
}

/// Does what the wish says. What goes wrong is in the visit's end.
pub(super) async fn visit(scene: Scene<'_>, wish: Wish) -> Visit {
    let mut visit = Visit {
        customer: wish.customer,
        shop: wish.counter.shop,
        amount_fen: wish.amount_fen,
        order_no: None,
        end: End::Abandoned,
        twice: None,
        wrong_refused: None,
        fate: None,
        create: None,
        visible: None,
    };
    if let Err(gave) = pay(scene, &wish, &mut visit).await {
        let reason = gave.to_string();
        visit.end = if visit.is_paid_for() {
            End::PaidUnseen(reason)
        } else {
            End::Failed(reason)
        };
    }
    visit
}

async fn pay(scene: Scene<'_>, wish: &Wish, visit: &mut Visit) -> Result<(), Gave> {
    if wish.wrong_first {
        visit.wrong_refused = Some(wrong_amount_is_refused(scene, wish).await?);
    }
    let (order, heard) = create(scene, wish, visit).await?;
    visit.order_no = Some(order.order_no.clone());
    visit.create = Some(heard.took);
    if order.amount_fen != wish.amount_fen {
        return Err(Gave::Strange(format!(
            "order {} is of another amount",
            order.order_no
        )));
    }
    if wish.abandoned {
        return Ok(());
    }
    let Some(prepay_id) = order.prepay_id() else {
        return Err(Gave::Strange(format!(
            "order {} cannot be paid",
            order.order_no
        )));
    };
    visit.fate = scene.wechat.pay(prepay_id).await?;
    visit.end = End::PaidUnseen("asking for it".to_owned());
    let paid_at = Instant::now();
    visit.end = follow(
        scene,
        &scene.customers[wish.customer],
        &order.order_no,
        paid_at,
    )
    .await?;
    visit.visible = matches!(visit.end, End::Paid { .. }).then(|| paid_at.elapsed());
    Ok(())
}

/// Tries to pay one fen more than the fixed code says.
async fn wrong_amount_is_refused(scene: Scene<'_>, wish: &Wish) -> Result<bool, Gave> {
    let key = format!("{}-{}-wrong", scene.run, wish.number);
    let (customer, wrong) = (&scene.customers[wish.customer], wish.amount_fen + 1);
    let answer = scene
        .service
        .create_payment(customer, &key, &wish.counter.code, wrong)
        .await;
    match answer {
        Ok(_) => Ok(false),
        Err(gave) if gave.is("amount_not_allowed") => Ok(true),
        Err(gave) => Err(gave),
    }
}

async fn create(
    scene: Scene<'_>,
    wish: &Wish,
    visit: &mut Visit,
) -> Result<(Payment, Heard), Gave> {
    let key = format!("{}-{}", scene.run, wish.number);
    let (customer, code) = (&scene.customers[wish.customer], &wish.counter.code);
    let send = || {
        scene
            .service
            .create_payment(customer, &key, code, wish.amount_fen)
    };
    if !wish.twice {
        return send().await;
    }
    let (one, other) = tokio::join!(send(), send());
    let (one, other) = (one?, other?);
    visit.twice = Some(one.0.order_no == other.0.order_no);
    Ok(one)
}

/// Looks at the order until it is paid, and has the service ask WeChat when the callback is late.
async fn follow(
    scene: Scene<'_>,
    customer: &Person,
    order_no: &str,
    paid_at: Instant,
) -> Result<End, Gave> {
    let (mut look_again, mut ask_at) = (LOOK_AGAIN_MIN, ASK_AFTER);
    loop {
        tokio::time::sleep(look_again).await;
        look_again = (look_again * 3 / 2).min(LOOK_AGAIN_MAX);
        let order = scene.service.payment(customer, order_no).await?;
        if let Some(end) = paid(&order, false) {
            return Ok(end);
        }
        let waited = paid_at.elapsed();
        if waited > ask_at {
            ask_at = waited.saturating_mul(2);
            let order = scene.service.confirm(customer, order_no).await?;
            if let Some(end) = paid(&order, true) {
                return Ok(end);
            }
        }
        let most = if scene.ending.is_cancelled() {
            WAIT_AT_THE_END
        } else {
            WAIT_MAX
        };
        if waited > most {
            return Ok(End::PaidUnseen(format!(
                "still {} after {waited:.0?}",
                order.state
            )));
        }
    }
}

fn paid(order: &Payment, by_question: bool) -> Option<End> {
    let points = order.points_earned.unwrap_or(0);
    order.is_paid().then_some(End::Paid {
        points,
        by_question,
    })
}
