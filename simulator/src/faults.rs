//! The switches: what goes wrong, and how often.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::call_faults::CallFaults;
use super::chance::{PerMille, own_rng};
use super::endpoint::Endpoint;
use super::keys::KeyKind;
use super::refunds::RefundFate;
use super::sharing::SharingFaults;

/// What can go wrong with the callback of one payment. All combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Sent again a second after it was acknowledged.
    Duplicate,
    /// Sent twice at once, over two lines.
    Twin,
    /// Sent after a delay.
    Late,
    /// Held back until the callback of a later payment has been sent.
    OutOfOrder,
    /// Never sent: only a query says so. Overrules every other fault.
    Lost,
    /// First a truly signed callback of another amount, then the genuine one.
    WrongAmount,
    /// First a truly signed callback of another merchant, then the genuine one.
    WrongMerchant,
    /// First one that was changed after signing, then the genuine one.
    Tampered,
    /// First one signed in WeChat's name with a key that is not WeChat's (the merchant's own), then
    /// the genuine one.
    WrongKey,
    /// First one stamped 360 s ago, then the genuine one.
    StaleTime,
    /// First one stamped 360 s ahead, then the genuine one.
    FutureTime,
    /// First WeChat's signature probe (`WECHATPAY/SIGNTEST/…`), then the genuine one.
    Probe,
    /// Without `attach`, though the prepay sent one.
    NoAttach,
    /// With an empty `associated_data`.
    NoAssociatedData,
}

impl Fault {
    /// Every fault, in the order in which they are drawn.
    pub const ALL: [Self; 14] = [
        Self::Duplicate,
        Self::Twin,
        Self::Late,
        Self::OutOfOrder,
        Self::Lost,
        Self::WrongAmount,
        Self::WrongMerchant,
        Self::Tampered,
        Self::WrongKey,
        Self::StaleTime,
        Self::FutureTime,
        Self::Probe,
        Self::NoAttach,
        Self::NoAssociatedData,
    ];

    /// Whether a callback with this fault comes before the genuine one.
    pub(super) fn spoils(self) -> bool {
        self.is_forgery() || matches!(self, Self::WrongAmount | Self::WrongMerchant)
    }

    /// Whether a receiver must refuse such a callback on the headers and bytes alone, whatever it
    /// says.
    pub fn is_forgery(self) -> bool {
        matches!(
            self,
            Self::Tampered | Self::WrongKey | Self::StaleTime | Self::FutureTime | Self::Probe
        )
    }
}

/// Which key signs callbacks. Answers follow the request's `Wechatpay-Serial` instead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallbackKey {
    /// What new merchants get.
    #[default]
    PublicKey,
    /// What old merchants get.
    Certificate,
    /// Each callback one of the two, the public key in [`Faults::callback_public_key`] of the
    /// cases: the days of the switch from certificate to public key.
    Mixed,
}

/// All switches. Everything is off by default; probabilities are per mille.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// See [`Fault::Duplicate`].
    pub duplicate: PerMille,
    /// See [`Fault::Twin`].
    pub twin: PerMille,
    /// See [`Fault::Late`].
    pub late: PerMille,
    /// See [`Fault::OutOfOrder`].
    pub out_of_order: PerMille,
    /// See [`Fault::Lost`].
    pub lost: PerMille,
    /// See [`Fault::WrongAmount`].
    pub wrong_amount: PerMille,
    /// See [`Fault::WrongMerchant`].
    pub wrong_merchant: PerMille,
    /// See [`Fault::Tampered`].
    pub tampered: PerMille,
    /// See [`Fault::WrongKey`].
    pub wrong_key: PerMille,
    /// See [`Fault::StaleTime`].
    pub stale_time: PerMille,
    /// See [`Fault::FutureTime`].
    pub future_time: PerMille,
    /// See [`Fault::Probe`].
    pub probe: PerMille,
    /// See [`Fault::NoAttach`].
    pub no_attach: PerMille,
    /// See [`Fault::NoAssociatedData`].
    pub no_associated_data: PerMille,
    /// Which key signs callbacks.
    pub callback_key: CallbackKey,
    /// How many of mixed callbacks the public key signs. WeChat's seven days of the switch: 1, 10,
    /// 50, 100, 200, 500, 1000.
    pub callback_public_key: PerMille,
    /// How often shared money does not arrive.
    pub sharing: SharingFaults,
    /// How late a late callback is; divided by the compression, as every delay of a callback.
    pub late_ms: u32,
    /// What goes wrong with the calls of the merchant API, by call; those left out go well.
    pub calls: BTreeMap<Endpoint, CallFaults>,
    /// A refund ends as `ABNORMAL`. Drawn by its number, as every fate of a refund.
    pub refund_abnormal: PerMille,
    /// A refund ends as `CLOSED`.
    pub refund_closed: PerMille,
    /// A refund takes `refund_slow_ms`.
    pub refund_slow: PerMille,
    /// How long a refund is processed; divided by the compression.
    pub refund_delay_ms: u32,
    /// How long a slow refund is processed; divided by the compression.
    pub refund_slow_ms: u32,
    /// Refunds of one order need not be a minute apart. (That minute is divided too.)
    pub refunds_at_once: bool,
    /// Closing an order is refused as if its user were entering the password; drawn anew each time.
    pub close_while_paying: PerMille,
    /// Such a refusal is 202 `USERPAYING`, as documented, and not 429 `FREQUENCY_LIMITED`, as seen;
    /// drawn anew each time.
    pub close_says_paying: PerMille,
    /// A number that is used with other parameters is refused with 403 `OUT_TRADE_NO_USED`, as
    /// documented, and not with 400 `INVALID_REQUEST`, as seen; drawn anew each time.
    pub number_says_used: PerMille,
    /// `/v3/certificates` answers 404: the merchant has none, as all that came since October 2024.
    /// Drawn anew each time.
    pub no_certificates: PerMille,
    /// WeChat's rate limits are in effect.
    pub rate_limits: bool,
    /// The mini-program's server API is busy: `-1`, drawn anew each time.
    pub mini_program_busy: PerMille,
    /// Login codes work once, as WeChat's do. Off: `sim-…` may be used again.
    pub login_codes_once: bool,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            duplicate: PerMille::NEVER,
            twin: PerMille::NEVER,
            late: PerMille::NEVER,
            out_of_order: PerMille::NEVER,
            lost: PerMille::NEVER,
            wrong_amount: PerMille::NEVER,
            wrong_merchant: PerMille::NEVER,
            tampered: PerMille::NEVER,
            wrong_key: PerMille::NEVER,
            stale_time: PerMille::NEVER,
            future_time: PerMille::NEVER,
            probe: PerMille::NEVER,
            no_attach: PerMille::NEVER,
            no_associated_data: PerMille::NEVER,
            callback_key: CallbackKey::default(),
            callback_public_key: PerMille::new(500),
            sharing: SharingFaults::default(),
            late_ms: 20_000,
            calls: BTreeMap::new(),
            refund_abnormal: PerMille::NEVER,
            refund_closed: PerMille::NEVER,
            refund_slow: PerMille::NEVER,
            refund_delay_ms: 5_000,
            refund_slow_ms: 600_000,
            refunds_at_once: false,
            close_while_paying: PerMille::NEVER,
            close_says_paying: PerMille::NEVER,
            number_says_used: PerMille::NEVER,
            no_certificates: PerMille::NEVER,
            rate_limits: false,
            mini_program_busy: PerMille::NEVER,
            login_codes_once: false,
        }
    }
}

impl Faults {
    fn probability(&self, fault: Fault) -> PerMille {
        match fault {
            Fault::Duplicate => self.duplicate,
            Fault::Twin => self.twin,
            Fault::Late => self.late,
            Fault::OutOfOrder => self.out_of_order,
            Fault::Lost => self.lost,
            Fault::WrongAmount => self.wrong_amount,
            Fault::WrongMerchant => self.wrong_merchant,
            Fault::Tampered => self.tampered,
            Fault::WrongKey => self.wrong_key,
            Fault::StaleTime => self.stale_time,
            Fault::FutureTime => self.future_time,
            Fault::Probe => self.probe,
            Fault::NoAttach => self.no_attach,
            Fault::NoAssociatedData => self.no_associated_data,
        }
    }

    /// The faults of one payment and the key of its callbacks.
    ///
    /// Drawn from the seed and the order's number, so that an order has the same fate in every run,
    /// whatever else happens at the same time.
    pub(super) fn draw(&self, seed: u64, out_trade_no: &str) -> (BTreeSet<Fault>, KeyKind) {
        let mut rng = own_rng(seed, out_trade_no);
        // Every fault draws, so that one switch does not change what another does.
        let mut faults = BTreeSet::new();
        for fault in Fault::ALL {
            if self.probability(fault).happens(&mut rng) {
                faults.insert(fault);
            }
        }
        let kind = match self.callback_key {
            CallbackKey::PublicKey => KeyKind::PublicKey,
            CallbackKey::Mixed if self.callback_public_key.happens(&mut rng) => KeyKind::PublicKey,
            CallbackKey::Mixed | CallbackKey::Certificate => KeyKind::Certificate,
        };
        (faults, kind)
    }

    /// How a refund ends, by its number.
    pub(super) fn draw_refund(&self, seed: u64, out_refund_no: &str) -> RefundFate {
        let mut rng = own_rng(seed, &format!("refund fate/{out_refund_no}"));
        // Every fate draws, as every fault does.
        let abnormal = self.refund_abnormal.happens(&mut rng);
        let closed = self.refund_closed.happens(&mut rng);
        let slow = self.refund_slow.happens(&mut rng);
        match (abnormal, closed, slow) {
            (true, _, _) => RefundFate::Abnormal,
            (false, true, _) => RefundFate::Closed,
            (false, false, true) => RefundFate::Slow,
            (false, false, false) => RefundFate::Success,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_the_same_fate_under_the_same_seed() {
        let faults = Faults {
            duplicate: PerMille::new(500),
            probe: PerMille::new(500),
            callback_key: CallbackKey::Mixed,
            ..Faults::default()
        };
        let fates: Vec<_> = (0..40)
            .map(|n| faults.draw(7, &format!("ORDER-{n}")))
            .collect();
        let again: Vec<_> = (0..40)
            .map(|n| faults.draw(7, &format!("ORDER-{n}")))
            .collect();
        assert_eq!(fates, again);
        assert!(fates.iter().any(|(set, _)| set.contains(&Fault::Duplicate)));
        assert!(
            fates
                .iter()
                .any(|(set, _)| !set.contains(&Fault::Duplicate))
        );
        assert!(fates.iter().any(|(_, kind)| *kind == KeyKind::Certificate));
    }

    #[test]
    fn always_is_always_and_never_is_never() {
        let faults = Faults {
            lost: PerMille::ALWAYS,
            ..Faults::default()
        };
        for n in 0..1000 {
            let (set, _) = faults.draw(1, &n.to_string());
            assert_eq!(set, BTreeSet::from([Fault::Lost]));
        }
    }

    #[test]
    fn json_switches_are_partial_bounded_and_closed() {
        let read = |text: &str| serde_json::from_str::<Faults>(text);
        assert_eq!(read(r#"{"probe":1000}"#).unwrap().probe, PerMille::ALWAYS);
        assert!(read(r#"{"probe":1001}"#).is_err());
        assert!(read(r#"{"prob":10}"#).is_err());
        let calls = read(r#"{"calls":{"refund":{"bad_gateway":7}}}"#)
            .unwrap()
            .calls;
        assert_eq!(calls[&Endpoint::Refund].bad_gateway, PerMille::new(7));
        assert!(read(r#"{"calls":{"payout":{}}}"#).is_err());
    }
}
