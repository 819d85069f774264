//! A WeChat that answers about refunds what the test tells it to, in the order in which it was
//! told.
//!
//! The simulator plays WeChat as it is; this one plays what can be said at all, also what the real
//! one would not say in that order.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use zhangfang::{
    payments::{
        AbnormalRefund, Bill, BillKind, ChannelMode, ChannelOrder, ChannelOutcome, ChannelRefund,
        Notice, NoticeBody, NoticeError, NoticeHeaders, Order, OurAccount, PaidNotice,
        PayParameters, PaymentChannel, PrepayRequest, Refund, RefundCall, RefundNotice,
        RefundStatus, Refusal, RefusalKind,
    },
    primitives::{
        BusinessDay, Clock as _, Money, OrderNo, RefundId, RefundNo, Secret, SystemClock, Timestamp,
    },
};

/// One answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ChannelReply {
    Is(RefundStatus),
    /// The refund, but of another amount.
    Wrong,
    No(RefusalKind),
    /// No answer.
    Nothing,
    /// There will never be an answer: whoever waits must be killed.
    Hangs,
}

/// Unless told otherwise it takes every refund and keeps it processing; orders are not paid and can
/// be closed.
#[derive(Debug)]
pub(crate) struct Channel {
    answers: Mutex<VecDeque<ChannelReply>>,
    queried: Mutex<VecDeque<ChannelReply>>,
    /// What it was asked to refund.
    calls: Mutex<HashMap<String, ChannelRefund>>,
    notice: Mutex<Option<Notice>>,
    /// Callbacks by their bodies, so that many can be on their way.
    notices: Mutex<HashMap<Vec<u8>, Notice>>,
    account: OurAccount,
    /// What it says of orders that are asked about, by their numbers.
    orders: Mutex<HashMap<String, ChannelOrder>>,
    /// Refunds that others made, by their numbers.
    foreign: Mutex<HashMap<String, ChannelRefund>>,
    /// Queries wait for this.
    gate: Semaphore,
    /// Queries that came so far.
    waiting: Mutex<u32>,
    /// How queries of orders are refused.
    refused: Mutex<Option<RefusalKind>>,
    /// Queries of orders, and calls for refunds, that came so far.
    order_queries: Mutex<u32>,
    refund_calls: Mutex<u32>,
}

impl Default for Channel {
    fn default() -> Self {
        Self {
            answers: Mutex::default(),
            queried: Mutex::default(),
            calls: Mutex::default(),
            notice: Mutex::default(),
            notices: Mutex::default(),
            account: OurAccount {
                mode: ChannelMode::Partner,
                mchid: "1900000001".into(),
                app_id: "wx0000000000000000".into(),
            },
            orders: Mutex::default(),
            foreign: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            waiting: Mutex::default(),
            refused: Mutex::default(),
            order_queries: Mutex::default(),
            refund_calls: Mutex::default(),
        }
    }
}

impl Channel {
    /// The next calls for a refund are answered so.
    pub(crate) fn answers(&self, says: impl IntoIterator<Item = ChannelReply>) {
        self.answers.lock().unwrap().extend(says);
    }

    /// The next queries of a refund are answered so.
    pub(crate) fn knows(&self, says: impl IntoIterator<Item = ChannelReply>) {
        self.queried.lock().unwrap().extend(says);
    }

    /// Queries are not answered until [`Self::open`].
    pub(crate) fn shut(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn open(&self) {
        self.gate.add_permits(1_000);
    }

    /// Queries of orders are refused from now on, or no more.
    pub(crate) fn refuses_orders(&self, kind: Option<RefusalKind>) {
        *self.refused.lock().unwrap() = kind;
    }

    /// Queries of orders that came so far.
    pub(crate) fn order_queries(&self) -> u32 {
        *self.order_queries.lock().unwrap()
    }

    /// Calls for refunds that came so far.
    pub(crate) fn refund_calls(&self) -> u32 {
        *self.refund_calls.lock().unwrap()
    }

    /// Queries that came so far, answered or not.
    pub(crate) fn queries(&self) -> u32 {
        *self.waiting.lock().unwrap()
    }

    /// The next callback says this of a refund that was asked for. `transaction` is WeChat's number
    /// of the payment.
    pub(crate) fn calls_back(
        &self,
        refund: &Refund,
        status: RefundStatus,
        (sub_mchid, transaction): (&str, &str),
        notice: &str,
    ) {
        let said = self.of_refund(refund, status, (sub_mchid, transaction), notice);
        *self.notice.lock().unwrap() = Some(said);
    }

    /// A callback that says this of a refund that was asked for; to be handed in as often and as
    /// late as the test likes.
    pub(crate) fn refund_notice(
        &self,
        refund: &Refund,
        status: RefundStatus,
        paid: (&str, &str),
        notice: &str,
    ) -> Bytes {
        self.keep(self.of_refund(refund, status, paid, notice))
    }

    /// A callback that says that this order was paid.
    pub(crate) fn paid_notice(
        &self,
        order: &Order,
        transaction: &str,
        paid_at: Timestamp,
        notice: &str,
    ) -> Bytes {
        self.keep(Notice {
            id: notice.to_owned(),
            created_at: paid_at,
            body: NoticeBody::Paid(self.paid_word(order, transaction, paid_at)),
        })
    }

    fn paid_word(&self, order: &Order, transaction: &str, paid_at: Timestamp) -> PaidNotice {
        PaidNotice {
            out_trade_no: order.no().to_string(),
            wechat_transaction_id: transaction.to_owned(),
            sp_mchid: self.account.mchid.clone(),
            sub_mchid: order.sub_mchid.clone(),
            app_id: self.account.app_id.clone(),
            payer_openid: None,
            amount: order.amount,
            currency: "CNY".into(),
            payer_amount: None,
            paid_at,
        }
    }

    /// From now on it says of this order, when asked, that it was paid; perhaps that something of
    /// it was refunded.
    pub(crate) fn says_paid(
        &self,
        order: &Order,
        transaction: &str,
        paid_at: Timestamp,
        refunded: bool,
    ) {
        let notice = self.paid_word(order, transaction, paid_at);
        let said = ChannelOrder::Paid { notice, refunded };
        let mut orders = self.orders.lock().unwrap();
        orders.insert(order.no().to_string(), said);
    }

    /// Somebody else refunds this order under this number, or what they did moves on.
    pub(crate) fn refunds_elsewhere(
        &self,
        order: &Order,
        number: &str,
        fen: i64,
        status: RefundStatus,
    ) {
        let known = ChannelRefund {
            out_refund_no: number.to_owned(),
            out_trade_no: order.no().to_string(),
            wechat_refund_id: format!("51{number}"),
            status,
            amount: Money::constant(fen),
            total: order.amount,
            succeeded_at: None,
            received_account: None,
        };
        let mut foreign = self.foreign.lock().unwrap();
        foreign.insert(number.to_owned(), with(&known, status));
    }

    /// The callback about what somebody else did, as it stands.
    pub(crate) fn foreign_notice(
        &self,
        order: &Order,
        number: &str,
        transaction: &str,
        notice: &str,
    ) -> Bytes {
        let refund = self.foreign.lock().unwrap()[number].clone();
        self.keep(Notice {
            id: notice.to_owned(),
            created_at: order.created_at(),
            body: NoticeBody::Refund(RefundNotice {
                sp_mchid: self.account.mchid.clone(),
                sub_mchid: order.sub_mchid.clone(),
                wechat_transaction_id: transaction.to_owned(),
                refund,
            }),
        })
    }

    /// From now on a query says what this callback would.
    pub(crate) fn knows_paid(&self, order: &Order, notice: &Bytes) {
        let notices = self.notices.lock().unwrap();
        let Some(NoticeBody::Paid(paid)) = notices.get(&notice[..]).map(|notice| &notice.body)
        else {
            panic!("no such callback");
        };
        let said = ChannelOrder::Paid {
            notice: paid.clone(),
            refunded: false,
        };
        let mut orders = self.orders.lock().unwrap();
        orders.insert(order.no().to_string(), said);
    }

    /// Gives a callback another time of arrival or payment.
    pub(crate) fn dated(&self, body: &Bytes, at: Timestamp) {
        let mut notices = self.notices.lock().unwrap();
        match notices.get_mut(&body[..]).map(|notice| &mut notice.body) {
            Some(NoticeBody::Refund(said)) => said.refund.succeeded_at = Some(at),
            Some(NoticeBody::Paid(said)) => said.paid_at = at,
            Some(NoticeBody::Other { .. }) | None => panic!("nothing to date"),
        }
    }

    /// The callback of an order that a merchant showed: WeChat says who paid it.
    pub(crate) fn paid_notice_by(
        &self,
        order: &Order,
        transaction: &str,
        paid_at: Timestamp,
        openid: &str,
    ) -> Bytes {
        let body = self.paid_notice(order, transaction, paid_at, transaction);
        let mut notices = self.notices.lock().unwrap();
        if let Some(NoticeBody::Paid(paid)) =
            notices.get_mut(&body[..]).map(|notice| &mut notice.body)
        {
            paid.payer_openid = Some(Secret::new(openid.to_owned()));
        }
        body
    }

    /// A callback of a kind that is nobody's to handle here.
    pub(crate) fn other_notice(&self, created_at: Timestamp, notice: &str) -> Bytes {
        self.keep(Notice {
            id: notice.to_owned(),
            created_at,
            body: NoticeBody::Other {
                event_type: "SOMETHING.NEW".to_owned(),
                original_type: "encrypt-resource".to_owned(),
            },
        })
    }

    /// The same WeChat, as a process hears it that was told of another mini-program.
    pub(crate) fn of_another_program(&self) -> Self {
        let mut other = Self::default();
        other.account.app_id = "wx1111111111111111".into();
        let notices = self.notices.lock().unwrap();
        other.notices.get_mut().unwrap().clone_from(&notices);
        drop(notices);
        other
    }

    fn keep(&self, notice: Notice) -> Bytes {
        let body = notice.id.clone().into_bytes();
        let mut notices = self.notices.lock().unwrap();
        notices.insert(body.clone(), notice);
        body.into()
    }

    fn of_refund(
        &self,
        refund: &Refund,
        status: RefundStatus,
        (sub_mchid, transaction): (&str, &str),
        notice: &str,
    ) -> Notice {
        let known = self.known(refund.id);
        Notice {
            id: notice.to_owned(),
            // Does not change when it is repeated, as WeChat's does not.
            created_at: refund.created_at(),
            body: NoticeBody::Refund(RefundNotice {
                sp_mchid: self.account.mchid.clone(),
                sub_mchid: sub_mchid.to_owned(),
                wechat_transaction_id: transaction.to_owned(),
                refund: with(&known, status),
            }),
        }
    }

    /// From now on this refund has another number at WeChat.
    pub(crate) fn renumber(&self, refund: &Refund, number: &str) {
        let mut calls = self.calls.lock().unwrap();
        let known = calls.get_mut(&RefundNo::from(refund.id).to_string());
        number.clone_into(&mut known.unwrap().wechat_refund_id);
    }

    fn known(&self, refund: RefundId) -> ChannelRefund {
        self.calls.lock().unwrap()[&RefundNo::from(refund).to_string()].clone()
    }
}

fn say(says: ChannelReply, known: Option<ChannelRefund>) -> ChannelOutcome<ChannelRefund> {
    match (says, known) {
        (ChannelReply::Is(status), Some(known)) => ChannelOutcome::Done(with(&known, status)),
        (ChannelReply::Wrong, Some(known)) => ChannelOutcome::Done(ChannelRefund {
            amount: known.amount.checked_add(Money::constant(1)).unwrap(),
            ..known
        }),
        (ChannelReply::Is(_) | ChannelReply::Wrong, None) => no(RefusalKind::Absent),
        (ChannelReply::No(kind), _) => no(kind),
        (ChannelReply::Nothing | ChannelReply::Hangs, _) => {
            ChannelOutcome::Unknown("no answer".into())
        }
    }
}

fn with(known: &ChannelRefund, status: RefundStatus) -> ChannelRefund {
    let arrived = status == RefundStatus::Success;
    ChannelRefund {
        status,
        succeeded_at: arrived.then(|| SystemClock.now()),
        received_account: arrived.then(|| "支付用户零钱".to_owned()),
        ..known.clone()
    }
}

fn no<T>(kind: RefusalKind) -> ChannelOutcome<T> {
    ChannelOutcome::Refused(Refusal {
        kind,
        code: format!("{kind:?}").to_uppercase(),
        message: "says the script".into(),
    })
}

fn not_here<T: Send + 'static>() -> BoxFuture<'static, ChannelOutcome<T>> {
    Box::pin(async { ChannelOutcome::Unknown("not here".into()) })
}

impl PaymentChannel for Channel {
    fn account(&self) -> &OurAccount {
        &self.account
    }

    fn prepay(&self, request: PrepayRequest) -> BoxFuture<'_, ChannelOutcome<String>> {
        Box::pin(async move { ChannelOutcome::Done(format!("wx{}", request.order_no)) })
    }

    fn prepay_native(&self, _request: PrepayRequest) -> BoxFuture<'_, ChannelOutcome<String>> {
        not_here()
    }

    fn pay_parameters(&self, _prepay_id: &str, _now: Timestamp) -> PayParameters {
        PayParameters {
            time_stamp: String::new(),
            nonce_str: String::new(),
            package: String::new(),
            sign_type: String::new(),
            pay_sign: String::new(),
        }
    }

    fn query<'a>(
        &'a self,
        no: OrderNo,
        _sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelOrder>> {
        *self.order_queries.lock().unwrap() += 1;
        let refused = *self.refused.lock().unwrap();
        let said = self.orders.lock().unwrap().get(&no.to_string()).cloned();
        let said = said.unwrap_or_else(|| ChannelOrder::NotPaid("NOTPAY".into()));
        Box::pin(async move { refused.map_or_else(|| ChannelOutcome::Done(said), self::no) })
    }

    fn query_refund_of<'a>(
        &'a self,
        number: &'a str,
        _sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelRefund>> {
        let known = self.foreign.lock().unwrap().get(number).cloned();
        Box::pin(async { known.map_or_else(|| no(RefusalKind::Absent), ChannelOutcome::Done) })
    }

    fn query_by_transaction<'a>(
        &'a self,
        _wechat_transaction_id: &'a str,
        _sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelOrder>> {
        not_here()
    }

    fn close<'a>(&'a self, _no: OrderNo, _sub_mchid: &'a str) -> BoxFuture<'a, ChannelOutcome<()>> {
        Box::pin(async { ChannelOutcome::Done(()) })
    }

    fn refund(&self, call: RefundCall) -> BoxFuture<'_, ChannelOutcome<ChannelRefund>> {
        let said = ChannelRefund {
            out_refund_no: call.refund_no.to_string(),
            out_trade_no: call.order_no.to_string(),
            wechat_refund_id: format!("50{}", call.refund_no),
            status: RefundStatus::Processing,
            amount: call.amount,
            total: call.total,
            succeeded_at: None,
            received_account: None,
        };
        *self.refund_calls.lock().unwrap() += 1;
        let mut calls = self.calls.lock().unwrap();
        calls.insert(said.out_refund_no.clone(), said.clone());
        let says = self.answers.lock().unwrap().pop_front();
        let says = says.unwrap_or(ChannelReply::Is(RefundStatus::Processing));
        if matches!(says, ChannelReply::Hangs) {
            return Box::pin(std::future::pending());
        }
        let outcome = say(says, Some(said));
        Box::pin(async { outcome })
    }

    fn query_refund<'a>(
        &'a self,
        no: RefundNo,
        _sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelRefund>> {
        Box::pin(async move {
            *self.waiting.lock().unwrap() += 1;
            drop(self.gate.acquire().await.unwrap());
            let says = self.queried.lock().unwrap().pop_front();
            let says = says.unwrap_or(ChannelReply::Is(RefundStatus::Processing));
            let known = self.calls.lock().unwrap().get(&no.to_string()).cloned();
            say(says, known)
        })
    }

    fn redirect_refund(
        &self,
        _call: AbnormalRefund,
    ) -> BoxFuture<'_, ChannelOutcome<ChannelRefund>> {
        not_here()
    }

    fn bill(
        &self,
        _kind: BillKind,
        _day: BusinessDay,
    ) -> BoxFuture<'_, ChannelOutcome<Option<Bill>>> {
        not_here()
    }

    fn read_notice(
        &self,
        _headers: NoticeHeaders<'_>,
        body: &[u8],
        _now: Timestamp,
    ) -> Result<Notice, NoticeError> {
        if body.starts_with(b"forged") {
            return Err(NoticeError::BadSignature);
        }
        if let Some(notice) = self.notices.lock().unwrap().get(body) {
            return Ok(notice.clone());
        }
        let notice = self.notice.lock().unwrap().clone();
        notice.ok_or(NoticeError::Malformed)
    }

    fn reread_notice(&self, body: &[u8]) -> Result<Notice, NoticeError> {
        let known = self.notices.lock().unwrap().get(body).cloned();
        known.ok_or(NoticeError::Malformed)
    }
}
