//! A channel that does what a test tells it to: with the sharing of a payment, and silence about
//! everything else.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use futures_util::future::{BoxFuture, FutureExt as _, pending, ready};
use tokio::sync::Notify;
use zhangfang::{
    payments::{
        AbnormalRefund, Bill, BillKind, ChannelMode, ChannelOrder, ChannelOutcome, ChannelRefund,
        Notice, NoticeError, NoticeHeaders, OurAccount, PayParameters, PaymentChannel,
        PrepayRequest, RefundCall, Refusal, RefusalKind,
    },
    primitives::{
        BusinessDay, Money, OrderNo, RefundNo, SharingNo, SharingReturnNo, TenantId, Timestamp,
    },
    sharing::{
        ChannelPart, ChannelReturn, ChannelShare, PartResult, ReceiverCall, ReturnCall,
        ReturnResult, ShareCall, SharingChannel, SharingChannels,
    },
};

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is done, and the answer is lost.
    AnswerLost,
    /// It is not done, and there is no answer.
    CallLost,
    /// There is no answer, and it is done when the test lets it land.
    Late,
    /// It is done, and answered, when the test lets it go on.
    Held,
    Refused(RefusalKind),
    /// There will never be an answer, and nothing is done: whoever waits must be killed.
    Hangs,
    /// Done, and the answer speaks of another amount.
    WrongAmount,
}

#[derive(Debug)]
enum LateCall {
    Share(ShareCall),
    Return(ReturnCall),
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// What goes wrong with the next calls that share or return; then all goes well.
    pub(crate) troubles: VecDeque<Trouble>,
    /// What becomes of an account's part; success unless said.
    pub(crate) results: BTreeMap<String, PartResult>,
    /// What becomes of returns.
    pub(crate) return_result: Option<ReturnResult>,
    /// The most that may be shared, in ten-thousandths.
    pub(crate) ratio_max: Option<u32>,
    pub(crate) left: Option<Money>,
    /// What was taken, by number.
    pub(crate) shares: BTreeMap<String, ShareCall>,
    pub(crate) returns: BTreeMap<String, ReturnCall>,
    /// The number of every call that shares, as it came.
    pub(crate) asked: Vec<String>,
    /// How many calls that bring back came.
    pub(crate) returns_asked: usize,
    /// What is on its way and has not landed.
    late: Vec<LateCall>,
    /// Told when one of those that are held may go on.
    gate: Arc<Notify>,
    /// Every call about a receiver is refused.
    pub(crate) receivers_refused: bool,
}

impl State {
    fn take(&mut self, call: LateCall) {
        match call {
            LateCall::Share(call) => {
                let kept = self
                    .shares
                    .entry(call.sharing_no.to_string())
                    .or_insert_with(|| call.clone());
                // WeChat refuses a number with other parameters; ours never change.
                assert_eq!(format!("{kept:?}"), format!("{call:?}"));
            }
            LateCall::Return(call) => {
                self.returns.insert(call.return_no.to_string(), call);
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Channel(Arc<Mutex<State>>);

fn refused<T>(kind: RefusalKind) -> ChannelOutcome<T> {
    ChannelOutcome::Refused(Refusal {
        kind,
        code: "SCRIPTED".to_owned(),
        message: "as the test says".to_owned(),
    })
}

fn unknown<T>() -> ChannelOutcome<T> {
    ChannelOutcome::Unknown("as the test says".to_owned())
}

impl Channel {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn trouble(&self, troubles: impl IntoIterator<Item = Trouble>) {
        self.state().troubles.extend(troubles);
    }

    pub(crate) fn result(&self, account: &str, result: PartResult) {
        self.state().results.insert(account.to_owned(), result);
    }

    /// What is on its way lands.
    pub(crate) fn land(&self) {
        let mut state = self.state();
        for call in std::mem::take(&mut state.late) {
            state.take(call);
        }
    }

    /// One call that is held goes on.
    pub(crate) fn unblock(&self) {
        self.state().gate.notify_one();
    }

    fn about_receiver(&self) -> ChannelOutcome<()> {
        if self.state().receivers_refused {
            refused(RefusalKind::Rejected)
        } else {
            ChannelOutcome::Done(())
        }
    }

    async fn held(&self, call: LateCall) {
        let gate = Arc::clone(&self.state().gate);
        gate.notified().await;
        self.state().take(call);
    }

    fn answer(&self, call: &ShareCall) -> ChannelShare {
        let state = self.state();
        let parts: Vec<ChannelPart> = call
            .parts
            .iter()
            .map(|part| {
                let known = state.results.get(part.account.expose());
                let result = known.copied().unwrap_or(PartResult::Success);
                ChannelPart {
                    account: part.account.clone(),
                    amount: part.amount,
                    result,
                    fail_reason: (result == PartResult::Closed)
                        .then(|| "ACCOUNT_ABNORMAL".to_owned()),
                    finished_at: None,
                }
            })
            .collect();
        ChannelShare {
            wechat_order_id: format!("WX{}", call.sharing_no),
            finished: parts.iter().all(|part| part.result != PartResult::Pending),
            parts,
        }
    }

    fn answer_return(&self, call: &ReturnCall) -> ChannelReturn {
        let result = self.state().return_result.unwrap_or(ReturnResult::Success);
        ChannelReturn {
            wechat_return_id: format!("WX{}", call.return_no),
            result,
            fail_reason: (result == ReturnResult::Failed).then(|| "TIME_OUT_CLOSED".to_owned()),
            amount: call.amount,
        }
    }
}

impl SharingChannels for Channel {
    fn of(&self, _tenant: TenantId) -> Arc<dyn SharingChannel> {
        Arc::new(self.clone())
    }
}

impl SharingChannel for Channel {
    fn add_receiver(&self, _call: ReceiverCall) -> BoxFuture<'_, ChannelOutcome<()>> {
        ready(self.about_receiver()).boxed()
    }

    fn delete_receiver(&self, _call: ReceiverCall) -> BoxFuture<'_, ChannelOutcome<()>> {
        ready(self.about_receiver()).boxed()
    }

    fn ratio_max<'a>(&'a self, _sub_mchid: &'a str) -> BoxFuture<'a, ChannelOutcome<u32>> {
        let ratio = self.state().ratio_max;
        ready(ratio.map_or_else(|| refused(RefusalKind::Rejected), ChannelOutcome::Done)).boxed()
    }

    fn share(&self, call: ShareCall) -> BoxFuture<'_, ChannelOutcome<ChannelShare>> {
        let trouble = {
            let mut state = self.state();
            state.asked.push(call.sharing_no.to_string());
            let trouble = state.troubles.pop_front();
            let taken = matches!(
                trouble,
                None | Some(Trouble::AnswerLost | Trouble::WrongAmount)
            );
            if taken {
                state.take(LateCall::Share(call.clone()));
            } else if trouble == Some(Trouble::Late) {
                state.late.push(LateCall::Share(call.clone()));
            }
            trouble
        };
        let mut answer = self.answer(&call);
        match trouble {
            None => ready(ChannelOutcome::Done(answer)).boxed(),
            Some(Trouble::AnswerLost | Trouble::CallLost | Trouble::Late) => {
                ready(unknown()).boxed()
            }
            Some(Trouble::Held) => async move {
                self.held(LateCall::Share(call.clone())).await;
                ChannelOutcome::Done(self.answer(&call))
            }
            .boxed(),
            Some(Trouble::Refused(kind)) => ready(refused(kind)).boxed(),
            Some(Trouble::Hangs) => pending().boxed(),
            Some(Trouble::WrongAmount) => {
                for part in &mut answer.parts {
                    part.amount = Money::parse(part.amount.get() + 1).unwrap();
                }
                ready(ChannelOutcome::Done(answer)).boxed()
            }
        }
    }

    fn query_share<'a>(
        &'a self,
        sharing_no: SharingNo,
        _wechat_transaction_id: &'a str,
        _sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelShare>> {
        let known = self.state().shares.get(&sharing_no.to_string()).cloned();
        let answer = known.map(|call| self.answer(&call));
        ready(answer.map_or_else(|| refused(RefusalKind::Absent), ChannelOutcome::Done)).boxed()
    }

    fn left_to_share<'a>(
        &'a self,
        _wechat_transaction_id: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<Money>> {
        let left = self.state().left;
        let left = left.unwrap_or(Money::constant(i64::MAX));
        ready(ChannelOutcome::Done(left)).boxed()
    }

    fn return_share(&self, call: ReturnCall) -> BoxFuture<'_, ChannelOutcome<ChannelReturn>> {
        let trouble = {
            let mut state = self.state();
            let trouble = state.troubles.pop_front();
            if matches!(trouble, None | Some(Trouble::AnswerLost)) {
                state.take(LateCall::Return(call.clone()));
            } else if trouble == Some(Trouble::Late) {
                state.late.push(LateCall::Return(call.clone()));
            }
            state.returns_asked += 1;
            trouble
        };
        match trouble {
            None => ready(ChannelOutcome::Done(self.answer_return(&call))).boxed(),
            Some(Trouble::AnswerLost | Trouble::CallLost | Trouble::Late) => {
                ready(unknown()).boxed()
            }
            Some(Trouble::Held) => async move {
                self.held(LateCall::Return(call.clone())).await;
                ChannelOutcome::Done(self.answer_return(&call))
            }
            .boxed(),
            Some(Trouble::Refused(kind)) => ready(refused(kind)).boxed(),
            Some(Trouble::Hangs) => pending().boxed(),
            Some(Trouble::WrongAmount) => {
                let mut answer = self.answer_return(&call);
                answer.amount = Money::parse(answer.amount.get() + 1).unwrap();
                ready(ChannelOutcome::Done(answer)).boxed()
            }
        }
    }

    fn query_return<'a>(
        &'a self,
        return_no: SharingReturnNo,
        _sharing_no: SharingNo,
        _sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelReturn>> {
        let known = self.state().returns.get(&return_no.to_string()).cloned();
        let answer = known.map(|call| self.answer_return(&call));
        ready(answer.map_or_else(|| refused(RefusalKind::Absent), ChannelOutcome::Done)).boxed()
    }
}

/// The rest of the channel, which says nothing: refunds stay where the sharing lets them go.
#[derive(Debug)]
pub(crate) struct SilentProxy(OurAccount);

impl SilentProxy {
    pub(crate) fn new() -> Self {
        Self(OurAccount {
            mode: ChannelMode::Partner,
            mchid: "1900000100".to_owned(),
            app_id: "wx0000000000000000".to_owned(),
        })
    }
}

impl PaymentChannel for SilentProxy {
    fn account(&self) -> &OurAccount {
        &self.0
    }

    fn prepay(&self, _request: PrepayRequest) -> BoxFuture<'_, ChannelOutcome<String>> {
        ready(unknown()).boxed()
    }

    fn prepay_native(&self, _request: PrepayRequest) -> BoxFuture<'_, ChannelOutcome<String>> {
        ready(unknown()).boxed()
    }

    fn pay_parameters(&self, _prepay_id: &str, _now: Timestamp) -> PayParameters {
        unreachable!("nobody pays through it")
    }

    fn query<'a>(
        &'a self,
        _order_no: OrderNo,
        _sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelOrder>> {
        ready(unknown()).boxed()
    }

    fn query_by_transaction<'a>(
        &'a self,
        _wechat_transaction_id: &'a str,
        _sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelOrder>> {
        ready(unknown()).boxed()
    }

    fn close<'a>(
        &'a self,
        _order_no: OrderNo,
        _sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<()>> {
        ready(unknown()).boxed()
    }

    fn refund(&self, _call: RefundCall) -> BoxFuture<'_, ChannelOutcome<ChannelRefund>> {
        ready(unknown()).boxed()
    }

    fn query_refund<'a>(
        &'a self,
        _refund_no: RefundNo,
        _sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelRefund>> {
        ready(unknown()).boxed()
    }

    fn redirect_refund(
        &self,
        _call: AbnormalRefund,
    ) -> BoxFuture<'_, ChannelOutcome<ChannelRefund>> {
        ready(unknown()).boxed()
    }

    fn bill(
        &self,
        _kind: BillKind,
        _day: BusinessDay,
    ) -> BoxFuture<'_, ChannelOutcome<Option<Bill>>> {
        ready(unknown()).boxed()
    }

    fn read_notice(
        &self,
        _headers: NoticeHeaders<'_>,
        _body: &[u8],
        _now: Timestamp,
    ) -> Result<Notice, NoticeError> {
        Err(NoticeError::BadSignature)
    }

    fn reread_notice(&self, _body: &[u8]) -> Result<Notice, NoticeError> {
        Err(NoticeError::BadContent)
    }
}
