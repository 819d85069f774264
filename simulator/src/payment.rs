//! The user pays.

use std::collections::BTreeSet;
use std::time::Duration;

use time::OffsetDateTime;

use super::callback::SignedCallback;
use super::callback_content::CallbackContent;
use super::coupon::Coupon;
use super::error::PayError;
use super::faults::Fault;
use super::keys::KeyKind;
use super::lock::lock;
use super::orders::OrderName;
use super::resend::CallbackJob;
use super::state::Shared;

/// How the user pays. `Payment::default()`: whoever the order is for, faults as the switches say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payment {
    /// Who pays. It must be the payer of the prepay, and `None` asks no question; of a native order
    /// it is whoever scans the code, and must be said.
    pub openid: Option<String>,
    /// Exactly these faults, instead of what the switches would draw.
    pub faults: Option<Vec<Fault>>,
    /// The key of the callbacks, instead of what the switch says.
    pub callback_key: Option<KeyKind>,
    /// A coupon that pays some of it.
    pub coupon: Option<Coupon>,
}

impl Payment {
    /// Nothing goes wrong, whatever the switches say.
    pub fn clean() -> Self {
        Self::with([])
    }

    /// Exactly these faults.
    pub fn with(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self {
            faults: Some(faults.into_iter().collect()),
            ..Self::default()
        }
    }

    /// Returns this payment with a coupon that pays some of it.
    #[must_use]
    pub fn with_coupon(mut self, coupon: Coupon) -> Self {
        self.coupon = Some(coupon);
        self
    }

    /// No callback is sent: for tests that deliver it themselves.
    pub fn silent() -> Self {
        Self::with([Fault::Lost])
    }
}

/// A payment that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    /// The merchant's number.
    pub out_trade_no: String,
    /// WeChat's number.
    pub transaction_id: String,
    /// When.
    pub paid_at: OffsetDateTime,
    /// What goes wrong with its callback.
    pub faults: BTreeSet<Fault>,
}

impl Shared {
    /// The order becomes `SUCCESS` and its callback is sent.
    pub(super) fn pay(&self, name: OrderName<'_>, how: Payment) -> Result<Paid, PayError> {
        let now = self.clock.now();
        let transaction_id = self.ids.transaction_id(now);
        let (notice, notify_url) = {
            let mut orders = lock(&self.orders);
            let order = orders.pay(
                name,
                (how.openid.as_deref(), how.coupon),
                &transaction_id,
                now,
            )?;
            let notice = order.notice().ok_or(PayError::NotPaid)?;
            let receiver = order.party.receiver(&self.keys);
            lock(&self.funds).add(receiver, order.settled_fen());
            (notice, std::sync::Arc::clone(&order.notify_url))
        };
        self.stats.payments.add();
        let switches = self.faults();
        let (drawn, kind) = switches.draw(self.seed, &notice.out_trade_no);
        let faults = how
            .faults
            .map_or(drawn, |forced| forced.into_iter().collect());
        let out_trade_no = notice.out_trade_no.clone();
        self.sender.dispatch(CallbackJob {
            notify_url,
            content: CallbackContent::Payment(notice),
            faults: faults.clone(),
            kind: how.callback_key.unwrap_or(kind),
            late: Duration::from_millis(switches.late_ms.into()),
        });
        Ok(Paid {
            out_trade_no,
            transaction_id,
            paid_at: now,
            faults,
        })
    }

    /// The genuine callback of a paid order, not sent.
    pub(super) fn callback_for(&self, out_trade_no: &str) -> Result<SignedCallback, PayError> {
        let notice = lock(&self.orders)
            .by_number(out_trade_no)
            .ok_or(PayError::UnknownOrder)?
            .notice()
            .ok_or(PayError::NotPaid)?;
        let (_, kind) = self.faults().draw(self.seed, out_trade_no);
        Ok(self.factory.sign(&notice, kind))
    }
}
