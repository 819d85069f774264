//! The simulated WeChat: its cash desk, its switches and its counts, by the control API of the
//! simulator.

use std::collections::BTreeMap;

use reqwest::RequestBuilder;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    patience::{ApiError, Line},
    service::with_path,
};
use wechat_pay_simulator::{
    CallFault, CallFaults, CallbackKey, Endpoint, Fault, Faults, PerMille, RefundFate, openid_for,
};

/// How much goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FaultLevel {
    /// Every callback comes once and in time.
    None,
    /// What every day brings: duplicates, delays, losses, a slow prepay, a refund that no bank
    /// takes.
    Some,
    /// Also forgeries, authentic callbacks with wrong content, and prepays and refunds whose
    /// outcome is unknown.
    All,
}

impl FaultLevel {
    fn switches(self) -> Faults {
        let often = PerMille::new;
        let slow_prepay = CallFaults {
            slow: often(10),
            slow_ms: 1_500,
            ..CallFaults::default()
        };
        let unknown_prepay = CallFaults {
            system_error: often(20),
            bad_gateway: often(20),
            commit_then_timeout: often(10),
            hang_ms: 2_000,
            ..slow_prepay
        };
        let lost_refund = CallFaults {
            commit_then_cut: often(60),
            // The one that only a query clears up: a cut answer is asked for again at once.
            unsigned: often(60),
            ..CallFaults::default()
        };
        let unknown_refund = CallFaults {
            bad_gateway: often(40),
            commit_then_system_error: often(40),
            commit_then_timeout: often(20),
            hang_ms: 2_000,
            ..lost_refund
        };
        let every_day = Faults {
            duplicate: often(50),
            twin: often(50),
            late: often(30),
            late_ms: 30_000,
            out_of_order: often(50),
            lost: often(20),
            no_attach: often(50),
            no_associated_data: often(50),
            refund_abnormal: often(80),
            refund_closed: often(60),
            calls: [
                (Endpoint::Prepay, slow_prepay),
                (Endpoint::Refund, lost_refund),
            ]
            .into(),
            ..Faults::default()
        };
        match self {
            Self::None => Faults::default(),
            Self::Some => every_day,
            Self::All => Faults {
                wrong_amount: often(15),
                wrong_merchant: often(15),
                tampered: often(10),
                wrong_key: often(10),
                stale_time: often(5),
                future_time: often(5),
                probe: often(10),
                callback_key: CallbackKey::Mixed,
                calls: [
                    (Endpoint::Prepay, unknown_prepay),
                    (Endpoint::Refund, unknown_refund),
                ]
                .into(),
                ..every_day
            },
        }
    }

    /// Whether a demo has set the switches so. One that was killed could not set them back.
    fn is_ours(switches: &Faults) -> bool {
        [Self::None, Self::Some, Self::All]
            .iter()
            .any(|level| level.switches() == *switches)
    }
}

/// The simulator's counts, as of one moment. The names are its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct WechatStats {
    pub(super) payments: u64,
    pub(super) refunds: u64,
    pub(super) refunds_ended: u64,
    pub(super) call_faults: u64,
    pub(super) callbacks_sent: u64,
    pub(super) callbacks_acknowledged: u64,
    pub(super) callbacks_refused: u64,
    pub(super) callbacks_unanswered: u64,
    pub(super) callbacks_abandoned: u64,
    pub(super) callbacks_lost: u64,
    pub(super) attacks_sent: u64,
    pub(super) forgeries_sent: u64,
    pub(super) forgeries_acknowledged: u64,
}

impl WechatStats {
    /// What happened since an earlier moment.
    pub(super) fn since(self, before: Self) -> Self {
        let less = |now: u64, then: u64| now.saturating_sub(then);
        Self {
            payments: less(self.payments, before.payments),
            refunds: less(self.refunds, before.refunds),
            refunds_ended: less(self.refunds_ended, before.refunds_ended),
            call_faults: less(self.call_faults, before.call_faults),
            callbacks_sent: less(self.callbacks_sent, before.callbacks_sent),
            callbacks_acknowledged: less(
                self.callbacks_acknowledged,
                before.callbacks_acknowledged,
            ),
            callbacks_refused: less(self.callbacks_refused, before.callbacks_refused),
            callbacks_unanswered: less(self.callbacks_unanswered, before.callbacks_unanswered),
            callbacks_abandoned: less(self.callbacks_abandoned, before.callbacks_abandoned),
            callbacks_lost: less(self.callbacks_lost, before.callbacks_lost),
            attacks_sent: less(self.attacks_sent, before.attacks_sent),
            forgeries_sent: less(self.forgeries_sent, before.forgeries_sent),
            forgeries_acknowledged: less(
                self.forgeries_acknowledged,
                before.forgeries_acknowledged,
            ),
        }
    }
}

/// A refund, as WeChat knows it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct WechatRefund {
    pub(super) out_refund_no: String,
    pub(super) out_trade_no: String,
    pub(super) refund_fen: i64,
    pub(super) status: String,
}

/// The simulator lists no more than so many refunds.
pub(super) const REFUNDS_LISTED: usize = 1_000;

/// A button on the phone page.
#[derive(Debug, Serialize)]
pub(super) struct PhoneMerchant {
    pub(super) code: String,
    pub(super) name: String,
}

/// What will go wrong with the callback of a payment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Fate {
    faults: Vec<String>,
}

impl Fate {
    fn has(&self, fault: &str) -> bool {
        self.faults.iter().any(|known| known == fault)
    }

    /// No callback will come.
    pub(super) fn is_lost(&self) -> bool {
        self.has("lost")
    }

    /// Genuine callbacks that a receiver without interruptions acknowledges.
    pub(super) fn acknowledgements(&self) -> u64 {
        if self.is_lost() {
            0
        } else {
            1 + u64::from(self.has("twin")) + u64::from(self.has("duplicate"))
        }
    }
}

/// The simulator at the other end of a [`Line`].
#[derive(Debug)]
pub(super) struct Wechat {
    line: Line,
    base: Url,
}

impl Wechat {
    pub(super) fn new(base: Url, ending: CancellationToken) -> Result<Self, reqwest::Error> {
        let line = Line::new(ending)?;
        Ok(Self { line, base })
    }

    /// Whether this address belongs to WeChat itself, where nobody must pay for a demo.
    pub(super) fn is_real(base: &Url) -> bool {
        let host = base.host_str().unwrap_or_default();
        ["weixin.qq.com", "wechat.com", "tenpay.com"]
            .iter()
            .any(|theirs| host == *theirs || host.ends_with(&format!(".{theirs}")))
    }

    /// The page on which a person pays at this code.
    pub(super) fn phone_page(&self, code: &str) -> Url {
        let mut url = with_path(&self.base, &["phone"]);
        url.query_pairs_mut().append_pair("code", code);
        url
    }

    /// The customer presses the button on WeChat's pay sheet. Pressing it again says that the order
    /// is paid, but no longer its fate.
    pub(super) async fn pay(&self, prepay_id: &str) -> Result<Option<Fate>, ApiError> {
        let request = self.line.http.post(with_path(&self.base, &["sim", "pay"]));
        self.press(request.json(&json!({ "prepay_id": prepay_id })))
            .await
    }

    /// The customer pays, with exactly these faults of the callbacks.
    pub(super) async fn pay_with(
        &self,
        prepay_id: &str,
        faults: &[Fault],
    ) -> Result<Option<Fate>, ApiError> {
        let request = self.line.http.post(with_path(&self.base, &["sim", "pay"]));
        self.press(request.json(&json!({ "prepay_id": prepay_id, "faults": faults })))
            .await
    }

    /// The customer pays without faults, with a coupon over so many fen that its giver has paid
    /// for.
    pub(super) async fn pay_with_coupon(
        &self,
        prepay_id: &str,
        coupon_fen: i64,
    ) -> Result<Option<Fate>, ApiError> {
        let request = self.line.http.post(with_path(&self.base, &["sim", "pay"]));
        let coupon = json!({ "amount_fen": coupon_fen });
        self.press(request.json(&json!({ "prepay_id": prepay_id, "faults": [], "coupon": coupon })))
            .await
    }

    /// Somebody refunds this order on the merchant platform, and the service gets no callback.
    pub(super) async fn refund_elsewhere(
        &self,
        order_no: &str,
        number: &str,
        fen: i64,
    ) -> Result<(), ApiError> {
        let path = ["sim", "elsewhere", "refunds"];
        let request = self.line.http.post(with_path(&self.base, &path));
        let refund = json!({
            "out_trade_no": order_no, "out_refund_no": number, "refund_fen": fen, "fate": RefundFate::Success,
        });
        self.line.ask(request.json(&refund)).await.map(|_| ())
    }

    /// What this merchant has at WeChat, in fen.
    pub(super) async fn balance(&self, merchant: &str) -> Result<i64, ApiError> {
        let path = ["sim", "balances"];
        let request = self.line.http.get(with_path(&self.base, &path));
        let balances: BTreeMap<String, i64> = self.line.ask(request).await?.read()?;
        Ok(balances.get(merchant).copied().unwrap_or_default())
    }

    pub(super) async fn set_balance(
        &self,
        merchant: &str,
        balance_fen: i64,
    ) -> Result<(), ApiError> {
        let path = ["sim", "balances", merchant];
        let request = self.line.http.put(with_path(&self.base, &path));
        let balance = json!({ "balance_fen": balance_fen });
        self.line.ask(request.json(&balance)).await.map(|_| ())
    }

    /// The customer of this name scans what the merchant shows, and pays.
    pub(super) async fn scan(&self, code_url: &str, name: &str) -> Result<Option<Fate>, ApiError> {
        let request = self.line.http.post(with_path(&self.base, &["sim", "scan"]));
        let openid = openid_for(name);
        self.press(request.json(&json!({ "code_url": code_url, "openid": openid })))
            .await
    }

    async fn press(&self, request: RequestBuilder) -> Result<Option<Fate>, ApiError> {
        match self.line.ask(request).await {
            Ok(reply) => reply.read().map(Some),
            Err(error) if error.is("ORDERPAID") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next time that this order is to be closed, WeChat says that it does not know it, and
    /// leaves it open.
    pub(super) async fn mishear_closing(&self, order_no: &str) -> Result<(), ApiError> {
        let request = self
            .line
            .http
            .post(with_path(&self.base, &["sim", "calls"]));
        let fault = CallFault::NotFound;
        let request =
            request.json(&json!({ "call": Endpoint::Close, "number": order_no, "fault": fault }));
        self.line.ask(request).await.map(|_| ())
    }

    /// The newest ones.
    pub(super) async fn refunds(&self) -> Result<Vec<WechatRefund>, ApiError> {
        let request = self
            .line
            .http
            .get(with_path(&self.base, &["sim", "refunds"]));
        self.line.ask(request).await?.read()
    }

    /// Whether there is a simulator at all, asked once.
    pub(super) async fn greet(&self) -> Result<(), ApiError> {
        let request = self.line.http.get(with_path(&self.base, &["sim", "stats"]));
        self.line.greet(request).await
    }

    pub(super) async fn stats(&self) -> Result<WechatStats, ApiError> {
        let request = self.line.http.get(with_path(&self.base, &["sim", "stats"]));
        self.line.ask(request).await?.read()
    }

    /// The switches to put back later: as they stand, unless an earlier demo has left them so.
    pub(super) async fn own_faults(&self) -> Result<Faults, ApiError> {
        let request = self
            .line
            .http
            .get(with_path(&self.base, &["sim", "faults"]));
        let standing: Faults = self.line.ask(request).await?.read()?;
        Ok(if FaultLevel::is_ours(&standing) {
            Faults::default()
        } else {
            standing
        })
    }

    pub(super) async fn put_faults(&self, switches: &Faults) -> Result<(), ApiError> {
        let request = self
            .line
            .http
            .put(with_path(&self.base, &["sim", "faults"]));
        self.line.ask(request.json(switches)).await.map(|_| ())
    }

    pub(super) async fn switch_on(&self, level: FaultLevel) -> Result<(), ApiError> {
        self.put_faults(&level.switches()).await
    }

    /// The merchants that the phone page offers as buttons.
    pub(super) async fn offer(&self, merchants: &[PhoneMerchant]) -> Result<(), ApiError> {
        let request = self
            .line
            .http
            .post(with_path(&self.base, &["sim", "codes"]));
        self.line
            .ask(request.json(&json!({ "merchants": merchants })))
            .await
            .map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wechat_pay_simulator::Stats;

    #[test]
    fn all_faults_spoil_callbacks_in_every_way_and_prepays_too() {
        let all = serde_json::to_value(FaultLevel::All.switches()).unwrap();
        let callback = Fault::ALL.map(|fault| serde_json::to_value(fault).unwrap());
        for name in callback.iter().filter_map(|name| name.as_str()) {
            assert!(all[name].as_u64() > Some(0), "{name}");
        }
        let prepay = ["slow", "system_error", "bad_gateway", "commit_then_timeout"];
        for name in prepay {
            assert!(all["calls"]["prepay"][name].as_u64() > Some(0), "{name}");
        }
    }

    #[test]
    fn refunds_are_spoiled_too_but_not_on_a_day_without_faults() {
        for level in [FaultLevel::Some, FaultLevel::All] {
            let switches = level.switches();
            let refund = switches.calls[&Endpoint::Refund];
            assert_ne!(refund.unsigned, PerMille::NEVER, "{level:?}");
            assert_ne!(switches.refund_abnormal, PerMille::NEVER, "{level:?}");
            assert_ne!(switches.refund_closed, PerMille::NEVER, "{level:?}");
        }
        assert_eq!(FaultLevel::None.switches(), Faults::default());
    }

    #[test]
    fn what_a_killed_demo_has_left_is_not_taken_for_the_settings() {
        assert!(FaultLevel::is_ours(&FaultLevel::Some.switches()));
        assert!(!FaultLevel::is_ours(&Faults {
            lost: PerMille::ALWAYS,
            ..Faults::default()
        }));
    }

    #[test]
    fn the_simulator_has_every_count() {
        let theirs = serde_json::to_value(Stats::default()).unwrap();
        let ours = serde_json::to_value(WechatStats::default()).unwrap();
        for name in ours.as_object().unwrap().keys() {
            assert!(theirs.get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn the_number_of_acknowledged_callbacks_follows_from_the_fate() {
        let fate = |faults: &[&str]| Fate {
            faults: faults.iter().map(|&fault| fault.to_owned()).collect(),
        };
        assert_eq!(fate(&[]).acknowledgements(), 1);
        assert_eq!(
            fate(&["twin", "duplicate", "tampered"]).acknowledgements(),
            3
        );
        assert_eq!(fate(&["lost", "twin"]).acknowledgements(), 0);
    }

    #[test]
    fn nobody_pays_at_the_real_wechat() {
        let is_real = |text: &str| Wechat::is_real(&Url::parse(text).unwrap());
        assert!(is_real("https://api.mch.weixin.qq.com"));
        assert!(is_real("https://api2.mch.weixin.qq.com/"));
        assert!(!is_real("http://127.0.0.1:8090"));
        assert!(!is_real("http://simulator.example.com"));
    }
}
