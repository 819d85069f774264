//! Money that others move, or do not: a coupon, a refund made elsewhere, and one that WeChat does
//! not take.

use std::time::Duration;

use serde_json::{Value, json};

use super::{FEN, SceneReport, Stage};
use crate::{answer::Refund, patience::ApiError};

/// A refund can be withdrawn when the last call is old enough, and the service calls at growing
/// intervals.
const WITHDRAW_MAX: Duration = Duration::from_mins(3);

impl Stage<'_> {
    /// The order is what counts, whoever pays it.
    pub(super) async fn coupon(&self) -> Result<SceneReport, ApiError> {
        const COUPON_FEN: i64 = 300;
        let mut report = SceneReport::new("a coupon");
        let (plain, thrifty) = (self.somebody("plain"), self.somebody("thrifty"));
        self.pay(&plain, "plain").await?;
        self.pay_partly(&thrifty, "coupon", Some(COUPON_FEN))
            .await?;
        let points = |balance: &Value| balance["posted"].as_i64().unwrap_or_default();
        let whole = points(&self.balance(&plain).await?);
        let saved = points(&self.balance(&thrifty).await?);
        report.line(format!(
            "of two customers who owe {FEN} fen each, one pays {COUPON_FEN} of them with a WeChat coupon"
        ));
        report.line(format!(
            "the merchant gets both in full; {whole} points are credited for the one, {saved} for the other"
        ));
        report.must(
            "an order that is paid with a coupon counts as what it is",
            whole > 0 && whole == saved,
            format!("{whole} and {saved} points"),
        );
        Ok(report)
    }

    /// Somebody gives money back on WeChat's merchant platform, without a callback to the service.
    pub(super) async fn elsewhere(&self) -> Result<SceneReport, ApiError> {
        const BACK_FEN: i64 = 480;
        let mut report = SceneReport::new("a refund that was made elsewhere");
        let customer = self.somebody("elsewhere");
        let order_no = self.pay(&customer, "elsewhere").await?;
        let number = format!("{}-elsewhere", self.world.run);
        self.world
            .wechat
            .refund_elsewhere(&order_no, &number, BACK_FEN)
            .await?;
        report.line(format!(
            "of {FEN} fen {BACK_FEN} are refunded on the merchant platform, as {number}; no notice comes"
        ));
        let admin = &self.world.operators.admin;
        let path = ["admin", "payments", order_no.as_str(), "foreign-refunds"];
        let stated = json!({ "out_refund_no": number });
        let mut refund = Value::Null;
        for _ in 0..120 {
            refund = self
                .send(admin, &path, (None, None), stated.clone())
                .await?;
            if refund["state"] == "succeeded" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let path = ["admin", "payments", order_no.as_str()];
        let payment: Value = self.world.service.get(admin, &path, &[]).await?;
        report.line(format!(
            "an operator states the number, WeChat is asked under it: {} fen, {}; {} fen are left to refund, and {} points are gone",
            refund["amount_fen"],
            refund["state"].as_str().unwrap_or_default(),
            payment["refundable_fen"],
            refund["points_back"]
        ));
        report.must(
            "a refund that was made elsewhere is booked as WeChat knows it",
            refund["state"] == "succeeded"
                && refund["amount_fen"] == BACK_FEN
                && payment["refundable_fen"] == FEN - BACK_FEN,
            order_no,
        );
        Ok(report)
    }

    /// The merchant has no money at WeChat, and in the end an operator takes the refund back.
    pub(super) async fn withdrawn(&self) -> Result<SceneReport, ApiError> {
        let mut report = SceneReport::new("a refund that is withdrawn");
        let customer = self.somebody("withdrawn");
        let order_no = self.pay(&customer, "withdrawn").await?;
        let merchant = self.number_at_wechat().await?;
        let wechat = self.world.wechat;
        let balance_fen = wechat.balance(&merchant).await?;
        wechat.set_balance(&merchant, 0).await?;
        let withdrawn = self.refuse_and_withdraw(&mut report, &order_no).await;
        wechat.set_balance(&merchant, balance_fen).await?;
        let refund = withdrawn?;
        let admin = &self.world.operators.admin;
        let path = ["admin", "payments", order_no.as_str()];
        let payment: Value = self.world.service.get(admin, &path, &[]).await?;
        report.line(format!(
            "an operator withdraws it, once WeChat says that it has nothing: {}; {} fen are left to refund",
            refund.state, payment["refundable_fen"]
        ));
        report.must(
            "a refund that WeChat does not take can be withdrawn, and nothing has moved",
            refund.state == "withdrawn" && payment["refundable_fen"] == FEN,
            order_no,
        );
        Ok(report)
    }

    async fn refuse_and_withdraw(
        &self,
        report: &mut SceneReport,
        order_no: &str,
    ) -> Result<Refund, ApiError> {
        let (service, admin) = (self.world.service, &self.world.operators.admin);
        let key = format!("{}-withdrawn", self.world.run);
        let asked = (FEN, "顾客退货");
        let refund = service
            .request_refund(("admin", admin), &key, order_no, asked)
            .await?;
        report.line(format!(
            "{} has taken all its money out of WeChat; a refund of {FEN} fen is refused: {}",
            self.merchant, refund.state
        ));
        let path = ["admin", "refunds", &refund.number, "withdraw"];
        let key = format!("{key}-back");
        let reason = json!({ "reason": "商户余额不足，改为线下退款" });
        let begun = std::time::Instant::now();
        loop {
            let answer = self
                .send(admin, &path, (Some(&key), None), reason.clone())
                .await;
            match answer {
                // Called back a moment ago, or about to.
                Err(error)
                    if error.is("refund_call_in_progress") && begun.elapsed() < WITHDRAW_MAX =>
                {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Err(error) => return Err(error),
                Ok(_) => return service.refund(admin, &refund.number).await,
            }
        }
    }

    /// Of the merchant whose code is scanned here.
    async fn number_at_wechat(&self) -> Result<String, ApiError> {
        let admin = &self.world.operators.admin;
        let query = [("state", "approved"), ("limit", "100")];
        let path = ["admin", "merchants"];
        let page: Value = self.world.service.get(admin, &path, &query).await?;
        let merchants = page["items"].as_array().map_or(&[][..], Vec::as_slice);
        let merchant = merchants
            .iter()
            .find(|merchant| merchant["id"] == self.merchant_id);
        let number =
            merchant.and_then(|merchant| merchant["sub_mchid"].as_str().map(str::to_owned));
        number.ok_or_else(|| ApiError::Strange("a merchant without a number at WeChat".to_owned()))
    }
}
