//! What a test can do to a running simulator: end refunds, set balances, scan codes, make single
//! calls go wrong, read messages.

use super::call_faults::CallFault;
use super::callback::SignedCallback;
use super::elsewhere::{RefundElsewhere, RefusedElsewhere, ShareElsewhere};
use super::endpoint::Endpoint;
use super::error::PayError;
use super::handle::Simulator;
use super::lock::lock;
use super::mini_program::{Shipping, SubscribeMessage};
use super::orders::OrderName;
use super::payment::{Paid, Payment};
use super::refund_plan::{RefundError, RefundPlan};
use super::refunds::{Refund, RefundFate};

/// Refunds and the money that they take.
impl Simulator {
    /// Every refund that is kept, oldest first.
    pub fn refunds(&self) -> Vec<Refund> {
        lock(&self.shared.refunds).all().cloned().collect()
    }

    /// One refund by the merchant's number.
    pub fn refund(&self, out_refund_no: &str) -> Option<Refund> {
        lock(&self.shared.refunds).by_number(out_refund_no).cloned()
    }

    /// Says beforehand what becomes of a refund and of its callbacks, whatever the switches say.
    pub fn plan_refund(&self, out_refund_no: &str, plan: RefundPlan) {
        self.shared.plan_refund(out_refund_no, plan);
    }

    /// Ends a refund now; its callback is sent. An abnormal one is decided so, as somebody would on
    /// the merchant platform.
    ///
    /// Fails if there is no such refund, and if it has ended.
    pub fn settle_refund_now(
        &self,
        out_refund_no: &str,
        fate: RefundFate,
    ) -> Result<Refund, RefundError> {
        self.shared.end_refund(out_refund_no, fate, true)
    }

    /// Resolves when a refund is not being processed: at once if there is none.
    pub async fn refund_ended(&self, out_refund_no: &str) {
        self.shared.refund_ended(out_refund_no).await;
    }

    /// The genuine callback of a refund that has ended, for a test that delivers it itself. Plan it
    /// with [`Fault::Lost`](super::Fault::Lost), so that the simulator does not.
    pub fn refund_callback_for(&self, out_refund_no: &str) -> Result<SignedCallback, RefundError> {
        self.shared.refund_callback_for(out_refund_no)
    }

    /// What a merchant has, in fen; in direct mode under the merchant's own `mchid`.
    pub fn balance_fen(&self, mchid: &str) -> i64 {
        self.shared.settle_shares();
        lock(&self.shared.funds).balance_fen(mchid)
    }

    /// Sets what a merchant has, in fen: a topping up, or a loss.
    pub fn set_balance(&self, mchid: &str, balance_fen: i64) {
        // What shares were due to move is moved before, not after.
        self.shared.settle_shares();
        lock(&self.shared.funds).set(mchid, balance_fen);
    }

    /// The merchant takes money out, in fen. `false`, and nothing taken, if it has not as much.
    #[must_use = "a merchant that has not as much keeps it all"]
    pub fn withdraw(&self, mchid: &str, amount_fen: i64) -> bool {
        self.shared.settle_shares();
        lock(&self.shared.funds).take(mchid, amount_fen)
    }
}

/// Another system of the same merchant.
impl Simulator {
    /// Another system refunds a payment of ours under a number of its own. Its callback goes to the
    /// address that it names. Fails as WeChat would refuse it.
    pub fn refund_elsewhere(&self, request: RefundElsewhere) -> Result<Refund, RefusedElsewhere> {
        Ok(self.shared.refund_elsewhere(request)?)
    }

    /// Another system shares a payment of ours under a number of its own; the answer in WeChat's
    /// words. Fails as WeChat would refuse it.
    pub fn share_elsewhere(
        &self,
        request: ShareElsewhere,
    ) -> Result<serde_json::Value, RefusedElsewhere> {
        Ok(self.shared.share_elsewhere(request)?)
    }
}

/// Users, and single calls.
impl Simulator {
    /// A user scans a native order's code and pays.
    #[expect(
        clippy::unused_async,
        reason = "callers should not notice when paying comes to wait"
    )]
    pub async fn pay_native(
        &self,
        code_url: &str,
        openid: &str,
        how: Payment,
    ) -> Result<Paid, PayError> {
        let openid = Some(openid.to_owned());
        let how = Payment { openid, ..how };
        self.shared.pay(OrderName::CodeUrl(code_url), how)
    }

    /// The user begins to enter the password (`true`) or leaves the sheet: meanwhile the merchant
    /// cannot close the order. Paying ends it too.
    pub fn set_paying(&self, out_trade_no: &str, paying: bool) -> Result<(), PayError> {
        lock(&self.shared.orders).set_paying(out_trade_no, paying)
    }

    /// The next call about this number goes wrong so, whatever the switches say. Several wait for
    /// their turn.
    pub fn force_call(&self, endpoint: Endpoint, number: &str, fault: CallFault) {
        lock(&self.shared.call_fates).force(endpoint, number, fault);
    }
}

/// The mini-program.
impl Simulator {
    /// A user agrees to get `count` messages of a template.
    pub fn consent(&self, openid: &str, template_id: &str, count: u32) {
        self.shared.consent(openid, template_id, count);
    }

    /// The messages that reached users, oldest first.
    pub fn messages(&self) -> Vec<SubscribeMessage> {
        self.shared.messages()
    }

    /// What merchants reported of deliveries, by WeChat's numbers.
    pub fn shipping(&self) -> Vec<Shipping> {
        self.shared.shippings()
    }

    /// The pages of the released version; `None` has every page there could be.
    pub fn set_pages(&self, pages: Option<Vec<String>>) {
        self.shared.set_pages(pages);
    }

    /// Every access token has ended, as after two hours: calls with one get 42001.
    pub fn expire_access_tokens(&self) {
        self.shared.expire_access_tokens();
    }
}
