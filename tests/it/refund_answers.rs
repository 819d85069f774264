//! What WeChat may answer about a refund and no simulator would: wrong amounts again and again, and
//! a bank that takes nothing.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::json;
use zhangfang::{
    audit::Actor,
    idempotency::{Claim, IdempotencyKey},
    payments::{
        self, AbnormalRefund, BankCard, Bill, BillKind, ChannelOrder, ChannelOutcome,
        ChannelRefund, Notice, NoticeError, NoticeHeaders, OneChannel, OurAccount, PayParameters,
        PaymentChannel, Payments, PrepayRequest, RedirectOutcome, Refund, RefundBy, RefundCall,
        RefundError, RefundRole, RefundState, RefundStatus, RequestRefund,
    },
    primitives::{BusinessDay, Money, OrderNo, RefundNo, Secret, TenantId, Timestamp},
};

use crate::harness::TestApp;

const PAID_FEN: i64 = 1_299;

/// WeChat with a fixed answer to everything about refunds.
#[derive(Debug)]
struct Saying {
    rest: Arc<dyn PaymentChannel>,
    order: OrderNo,
    refunded_fen: i64,
    status: RefundStatus,
    /// Whether a refund that is sent elsewhere gets an answer.
    answers_redirects: bool,
    /// Who asks about a refund that is sent elsewhere before that is answered.
    overtaken_by: Option<(TenantId, Payments)>,
}

impl Saying {
    fn answer(&self, refund_no: RefundNo, status: RefundStatus) -> ChannelOutcome<ChannelRefund> {
        let money = |fen| Money::parse(fen).unwrap();
        ChannelOutcome::Done(ChannelRefund {
            out_refund_no: refund_no.to_string(),
            out_trade_no: self.order.to_string(),
            wechat_refund_id: "50300000000000000000000000001".to_owned(),
            status,
            amount: money(self.refunded_fen),
            total: money(PAID_FEN),
            succeeded_at: None,
            received_account: None,
        })
    }

    fn into_payments(self, app: &TestApp) -> Payments {
        Payments {
            channels: Arc::new(OneChannel(Arc::new(self))),
            ..app.app.payments().clone()
        }
    }
}

impl PaymentChannel for Saying {
    fn account(&self) -> &OurAccount {
        self.rest.account()
    }

    fn prepay(&self, request: PrepayRequest) -> BoxFuture<'_, ChannelOutcome<String>> {
        self.rest.prepay(request)
    }

    fn prepay_native(&self, request: PrepayRequest) -> BoxFuture<'_, ChannelOutcome<String>> {
        self.rest.prepay_native(request)
    }

    fn pay_parameters(&self, prepay_id: &str, now: Timestamp) -> PayParameters {
        self.rest.pay_parameters(prepay_id, now)
    }

    fn query<'a>(
        &'a self,
        order_no: OrderNo,
        sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelOrder>> {
        self.rest.query(order_no, sub_mchid)
    }

    fn query_by_transaction<'a>(
        &'a self,
        wechat_transaction_id: &'a str,
        sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelOrder>> {
        self.rest
            .query_by_transaction(wechat_transaction_id, sub_mchid)
    }

    fn close<'a>(
        &'a self,
        order_no: OrderNo,
        sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<()>> {
        self.rest.close(order_no, sub_mchid)
    }

    fn refund(&self, call: RefundCall) -> BoxFuture<'_, ChannelOutcome<ChannelRefund>> {
        Box::pin(async move { self.answer(call.refund_no, self.status) })
    }

    fn query_refund<'a>(
        &'a self,
        refund_no: RefundNo,
        _sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelRefund>> {
        Box::pin(async move { self.answer(refund_no, self.status) })
    }

    fn redirect_refund(
        &self,
        call: AbnormalRefund,
    ) -> BoxFuture<'_, ChannelOutcome<ChannelRefund>> {
        Box::pin(async move {
            if let Some((tenant, faster)) = &self.overtaken_by {
                let refund = call.refund_no.id();
                payments::retry_refund(faster, *tenant, refund)
                    .await
                    .unwrap();
            }
            if self.answers_redirects {
                self.answer(call.refund_no, RefundStatus::Processing)
            } else {
                ChannelOutcome::Unknown("nobody answers".to_owned())
            }
        })
    }

    fn bill(
        &self,
        kind: BillKind,
        day: BusinessDay,
    ) -> BoxFuture<'_, ChannelOutcome<Option<Bill>>> {
        self.rest.bill(kind, day)
    }

    fn read_notice(
        &self,
        headers: NoticeHeaders<'_>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Notice, NoticeError> {
        self.rest.read_notice(headers, body, now)
    }

    fn reread_notice(&self, body: &[u8]) -> Result<Notice, NoticeError> {
        self.rest.reread_notice(body)
    }
}

fn through(
    app: &TestApp,
    order: OrderNo,
    refunded_fen: i64,
    status: RefundStatus,
    answers_redirects: bool,
) -> Payments {
    let saying = Saying {
        rest: app.app.channels().of(app.tenant.id),
        order,
        refunded_fen,
        status,
        answers_redirects,
        overtaken_by: None,
    };
    saying.into_payments(app)
}

/// A refund of everything, asked for by an operator while WeChat speaks so.
async fn refund(
    app: &TestApp,
    order_no: &str,
    refunded_fen: i64,
    status: RefundStatus,
) -> (Payments, Refund) {
    let order: OrderNo = order_no.parse().unwrap();
    let payments = through(app, order, refunded_fen, status, true);
    let key = IdempotencyKey::parse("r").unwrap();
    let request = RequestRefund {
        tenant: app.tenant.id,
        order: order.id(),
        amount: None,
        reason: "缺货".to_owned(),
        by: RefundBy {
            actor: Actor::operator("lin"),
            role: RefundRole::Operator,
        },
        claim: Claim::new(app.tenant.id, "operator:lin", "test", &key, &[]),
    };
    let refund = payments::request_refund(&payments, request).await.unwrap();
    (payments, refund)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_stays_wrong_raises_one_exception_and_books_nothing() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000170").await;
    let li = app.customer("li").await;
    let order_no = app.pay(&li, &merchant.code, PAID_FEN, "k").await;
    let (payments, asked) = refund(&app, &order_no, PAID_FEN + 1, RefundStatus::Success).await;
    for _ in 0..3 {
        let due = "UPDATE refunds SET next_attempt_at = '2020-01-01', calling_until = NULL";
        app.execute(due).await;
        payments::retry_refund(&payments, asked.tenant, asked.id)
            .await
            .unwrap();
    }
    let path = format!("/api/v1/admin/refunds/{}", asked.no());
    let shown = app.admin().get(&path).await.expect(200);
    assert_eq!(shown["problem"], "wrong_amount", "{shown}");
    assert_eq!(shown["state"], "accepted");
    assert!(shown["attempts"].as_i64().unwrap() >= 4, "{shown}");
    let open = app.admin().get("/api/v1/admin/exceptions?open=true").await;
    let open = open.expect(200);
    assert_eq!(open["items"].as_array().unwrap().len(), 1, "{open}");
    assert_eq!(open["items"][0]["kind"], "answer_mismatch");
    assert_eq!(open["items"][0]["refund_no"], asked.no().to_string());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abnormal_refund_is_sent_elsewhere_once_and_it_stands_there_by_whom() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000171").await;
    let li = app.customer("li").await;
    let order_no = app.pay(&li, &merchant.code, PAID_FEN, "k").await;
    let (payments, asked) = refund(&app, &order_no, PAID_FEN, RefundStatus::Abnormal).await;
    assert_eq!(asked.state, RefundState::Abnormal);

    let tenant = app.tenant.id;
    let wei = || Actor::operator("wei");
    let sent = payments::redirect_refund(&payments, tenant, asked.id, None, wei()).await;
    assert!(
        matches!(&sent, Ok(RedirectOutcome::Sent(sent)) if sent.state == RefundState::Processing),
        "{sent:?}"
    );
    let again = payments::redirect_refund(&payments, tenant, asked.id, None, wei()).await;
    assert!(matches!(again, Err(RefundError::NotAbnormal)), "{again:?}");

    let path = format!("/api/v1/admin/payments/{order_no}/history");
    let history = app.admin().get(&path).await.expect(200);
    let mut steps = history["timeline"].as_array().unwrap().iter();
    let noted = steps.any(|step| step["state"] == "processing" && step["who"] == "operator:wei");
    assert!(noted, "{history}");
    assert_eq!(
        history["exceptions"][0]["kind"], "refund_abnormal",
        "{history}"
    );
    let seen = merchant
        .owner
        .get("/api/v1/merchant/refunds?state=processing")
        .await;
    assert_eq!(
        seen.expect(200)["items"][0]["refund_no"],
        json!(asked.no().to_string())
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_answer_to_a_refund_that_is_sent_elsewhere_is_not_called_a_refusal() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000173").await;
    let li = app.customer("li").await;
    let order_no = app.pay(&li, &merchant.code, PAID_FEN, "k").await;
    let (_, asked) = refund(&app, &order_no, PAID_FEN, RefundStatus::Abnormal).await;
    let order: OrderNo = order_no.parse().unwrap();
    let wrong = through(&app, order, PAID_FEN + 1, RefundStatus::Abnormal, true);
    let wei = Actor::operator("wei");
    let answer = payments::redirect_refund(&wrong, app.tenant.id, asked.id, None, wei).await;
    assert!(
        matches!(answer, Err(RefundError::AnswerMismatch("wrong_amount"))),
        "{answer:?}"
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_arrives_before_its_redirect_is_answered_is_shown_as_it_stands() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000174").await;
    let li = app.customer("li").await;
    let order_no = app.pay(&li, &merchant.code, PAID_FEN, "k").await;
    let (_, asked) = refund(&app, &order_no, PAID_FEN, RefundStatus::Abnormal).await;
    let order: OrderNo = order_no.parse().unwrap();
    let arrived = through(&app, order, PAID_FEN, RefundStatus::Success, true);
    let overtaken = Saying {
        rest: app.app.channels().of(app.tenant.id),
        order,
        refunded_fen: PAID_FEN,
        status: RefundStatus::Abnormal,
        answers_redirects: true,
        overtaken_by: Some((app.tenant.id, arrived)),
    };
    let payments = overtaken.into_payments(&app);
    let wei = Actor::operator("wei");
    let sent = payments::redirect_refund(&payments, app.tenant.id, asked.id, None, wei).await;
    let Ok(RedirectOutcome::Sent(sent)) = sent else {
        panic!("{sent:?}")
    };
    assert!(
        matches!(sent.state, RefundState::Succeeded { .. }),
        "{sent:?}"
    );
    app.finish().await;
}

/// What the audit log says of sending refunds elsewhere, the oldest first.
async fn redirect_lines(app: &TestApp) -> Vec<(String, String, String)> {
    let logs = app
        .admin()
        .get("/api/v1/admin/audit-logs?limit=100")
        .await
        .expect(200);
    let text = |line: &serde_json::Value, field: &str| line[field].as_str().unwrap().to_owned();
    let lines = logs["items"].as_array().unwrap().iter().rev();
    lines
        .filter(|line| text(line, "action").starts_with("refund.redirect"))
        .map(|line| {
            let to = line["detail"]["to"].as_str().unwrap().to_owned();
            (text(line, "actor"), text(line, "action"), to)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn above_the_limit_two_people_say_where_an_abnormal_refund_goes() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000172").await;
    let li = app.customer("li").await;
    let order_no = app.pay(&li, &merchant.code, PAID_FEN, "k").await;
    let (payments, asked) = refund(&app, &order_no, PAID_FEN, RefundStatus::Abnormal).await;
    app.set_policy(|terms| terms.refund_review_above = Money::parse(PAID_FEN - 1).unwrap())
        .await;
    let card = |number: &str| {
        Some(BankCard {
            bank_type: "ICBC_DEBIT".to_owned(),
            number: Secret::new(number.to_owned()),
            holder: Secret::new("王伟".to_owned()),
        })
    };
    let tenant = app.tenant.id;
    let request = |who: &'static str, card| {
        payments::redirect_refund(&payments, tenant, asked.id, card, who.parse().unwrap())
    };
    let waits = |answer: Result<RedirectOutcome, RefundError>| {
        assert!(
            matches!(&answer, Ok(RedirectOutcome::AwaitsSecond(refund)) if refund.state == RefundState::Abnormal),
            "{answer:?}"
        );
    };
    // Nobody is two people, and a second person who wants something else is a first one.
    waits(request("operator:wei", card("6222020200112233")).await);
    waits(request("operator:wei", card("6222020200112233")).await);
    waits(request("operator:lin", card("6222020200119999")).await);
    waits(request("operator:lin", None).await);
    waits(request("operator:wei", card("6222020200112233")).await);
    let path = format!("/api/v1/admin/refunds/{}", asked.no());
    let shown = app.admin().get(&path).await.expect(200);
    assert_eq!(shown["redirect"]["to"], "ICBC_DEBIT …2233", "{shown}");
    assert_eq!(shown["redirect"]["asked_by"], "operator:wei");
    assert_eq!(shown["redirect"]["agreed_by"], json!(null));

    // The second one's attempt gets no answer: the log says all the same what was sent where, and
    // both may try it again.
    let silent = through(
        &app,
        order_no.parse().unwrap(),
        PAID_FEN,
        RefundStatus::Abnormal,
        false,
    );
    let lin = Actor::operator("lin");
    let lost =
        payments::redirect_refund(&silent, tenant, asked.id, card("6222020200112233"), lin).await;
    assert!(matches!(lost, Err(RefundError::ChannelUnknown)), "{lost:?}");
    let sent = request("operator:wei", card("6222020200112233")).await;
    assert!(
        matches!(&sent, Ok(RedirectOutcome::Sent(refund)) if refund.state == RefundState::Processing),
        "{sent:?}"
    );
    let line =
        |who: &str, action: &str, to: &str| (who.to_owned(), action.to_owned(), to.to_owned());
    let (wei, lin) = ("operator:wei", "operator:lin");
    let (wanted, went) = ("refund.redirect_requested", "refund.redirected");
    assert_eq!(
        redirect_lines(&app).await,
        [
            line(wei, wanted, "ICBC_DEBIT …2233"),
            line(lin, wanted, "ICBC_DEBIT …9999"),
            line(lin, wanted, "the merchant's account"),
            line(wei, wanted, "ICBC_DEBIT …2233"),
            line(lin, went, "ICBC_DEBIT …2233"),
            line(wei, went, "ICBC_DEBIT …2233"),
        ]
    );
    app.finish().await;
}
