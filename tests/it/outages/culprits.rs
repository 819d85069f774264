//! One operation of a batch that can never be written, or panics: it alone is told so, and the
//! others pay nothing for it.

use std::{
    convert::Infallible,
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use zhangfang::{
    db::{
        Change, Cx, DbError, DbOptions, Operation, RecordRows, Recorder, RowSet, SubmitError,
        Wanted, WorkingSet,
    },
    ledger::{Account, Accounts},
    payments::{self, HandledCallback, NoticeHeaders, Payments, RefundStatus},
    primitives::{AccountId, Clock, CustomerId, Lane, OrderNo, SystemClock, TenantId, Timestamp},
};

use crate::{
    batch::{adjust, someone},
    harness::{TestApp, db_on, eventually},
    refund_core::{RefundSetup, SUB_MCHID},
};

/// What is wrong with an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// Writes an account that has spent what it never had.
    BelowZero,
    /// Makes an account that exists, and did not look.
    Exists,
    PanicsInRows,
    /// After it has changed something.
    PanicsInDecide,
    /// When its rows are written.
    PanicsInRecord,
}

#[derive(Debug, Clone)]
struct Culprit {
    tenant: TenantId,
    customer: CustomerId,
    wrong: Wrong,
}

/// Rows that cannot even be put into words.
#[derive(Debug)]
struct Unspeakable;

impl RowSet for Unspeakable {
    type Key = u8;
    type Row = ();
    const LOCK_ORDER: u8 = 200;
}

impl RecordRows for Unspeakable {
    fn record(_changes: &[Change<'_, Self>], _out: &mut Recorder) {
        panic!("a row that cannot be written (this belongs to the test)")
    }
}

impl Operation for Culprit {
    type Reply = ();
    type Refusal = Infallible;
    const NAME: &'static str = "test.culprit";

    fn lane(&self) -> Lane {
        self.customer.lane()
    }

    fn rows(&self, _want: &mut Wanted, _set: &WorkingSet) {
        assert!(
            self.wrong != Wrong::PanicsInRows,
            "a panic that belongs to the test"
        );
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<(), Infallible> {
        let account = AccountId::customer_points(self.customer);
        let mut row = Account::empty(self.tenant);
        row.version = 1;
        match self.wrong {
            Wrong::BelowZero => row.debits_posted = 1,
            Wrong::PanicsInRecord => set.put::<Unspeakable>(1, ()),
            Wrong::Exists | Wrong::PanicsInRows | Wrong::PanicsInDecide => {}
        }
        set.put::<Accounts>(account, row);
        cx.emit(b"this must not be told");
        assert!(
            self.wrong != Wrong::PanicsInDecide,
            "a panic that belongs to the test"
        );
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_cannot_be_written_fails_alone() {
    let app = TestApp::with(|options| options.committers = 1).await;
    let existing = someone(app.db());
    app.db().submit(adjust(&app, existing, 1)).await.unwrap();
    for wrong in [
        Wrong::BelowZero,
        Wrong::Exists,
        Wrong::PanicsInRows,
        Wrong::PanicsInDecide,
        Wrong::PanicsInRecord,
    ] {
        let customer = if wrong == Wrong::Exists {
            existing
        } else {
            someone(app.db())
        };
        let culprit = Culprit {
            tenant: app.tenant.id,
            customer,
            wrong,
        };
        let innocents: Vec<_> = (0..800)
            .map(|_| adjust(&app, someone(app.db()), 1))
            .collect();
        let (before, after) = innocents.split_at(300);
        let submit = |of: &[crate::batch::Adjust]| {
            let all: Vec<_> = of.iter().cloned().map(|one| app.db().submit(one)).collect();
            futures_util::future::join_all(all)
        };
        let (before, answer, after) = tokio::join!(
            submit(before),
            app.db().submit(culprit.clone()),
            submit(after)
        );
        for innocent in before.into_iter().chain(after) {
            assert!(
                matches!(innocent, Ok(true)),
                "{wrong:?}: an innocent operation was told {innocent:?}"
            );
        }
        match (wrong, answer) {
            (Wrong::BelowZero, Err(SubmitError::Db(DbError::Violation(name)))) => {
                assert_eq!(name, "accounts_not_below_zero");
            }
            (Wrong::Exists, Err(SubmitError::Db(DbError::Violation(name)))) => {
                assert!(name.ends_with("PRIMARY"), "{name}");
            }
            (
                Wrong::PanicsInRows | Wrong::PanicsInDecide | Wrong::PanicsInRecord,
                Err(SubmitError::Db(DbError::Inconsistent(what))),
            ) => assert!(what.contains("panicked"), "{what}"),
            (wrong, answer) => panic!("{wrong:?} was told {answer:?}"),
        }
        // Alone it is told the same, and the committer goes on.
        let alone = app.db().submit(culprit).await;
        assert!(
            matches!(
                alone,
                Err(SubmitError::Db(
                    DbError::Violation(_) | DbError::Inconsistent(_)
                ))
            ),
            "{wrong:?} alone was told {alone:?}"
        );
        assert!(app.db().is_ready().await, "{wrong:?}");
    }
    app.finish().await;
}

/// A clock that panics when the test wants.
#[derive(Debug, Default)]
struct Trap(AtomicBool);

impl Clock for Trap {
    fn now(&self) -> Timestamp {
        assert!(
            !self.0.swap(false, Ordering::SeqCst),
            "a panic that belongs to the test"
        );
        SystemClock.now()
    }

    /// Nobody but the committer asks it.
    fn is_real_time(&self) -> bool {
        false
    }
}

/// Whatever panics in the committer itself: who waited is told that the outcome is unknown, and the
/// next is served.
#[tokio::test(flavor = "multi_thread")]
async fn a_committer_that_panics_begins_anew() {
    let app = TestApp::with(|options| options.committers = 1).await;
    let trap = Arc::new(Trap::default());
    let mut options = DbOptions::new(app.scratch.service.clone());
    options.committers = 1;
    let clock: Arc<dyn Clock> = Arc::<Trap>::clone(&trap);
    let db = db_on(options, clock).await;
    for _ in 0..3 {
        trap.0.store(true, Ordering::SeqCst);
        let operation = adjust(&app, someone(app.db()), 1);
        let answer = db.submit(operation.clone()).await;
        // Perhaps it panicked while it was idle, and took this one afterwards.
        assert!(
            matches!(
                answer,
                Ok(true)
                    | Err(SubmitError::Db(
                        DbError::Unavailable(_) | DbError::Inconsistent(_)
                    ))
            ),
            "{answer:?}"
        );
        eventually("the committer is back", || async {
            db.submit(operation.clone()).await.ok()
        })
        .await;
        assert!(!trap.0.load(Ordering::SeqCst), "nothing panicked");
    }
    eventually("it is ready", || async {
        db.is_ready().await.then_some(())
    })
    .await;
    db.close().await;
    app.finish().await;
}

const HEADERS: NoticeHeaders<'static> = NoticeHeaders {
    timestamp: None,
    nonce: None,
    signature: None,
    serial: None,
    signature_type: None,
};

/// WeChat says that one payment paid two orders.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_order_of_a_known_transaction_is_an_alarm_and_not_a_lost_race() {
    let setup = RefundSetup::open().await;
    let tenant = setup.app.tenant.id;
    let first = setup.paid(1000, "first").await;
    let first = setup.order(first).await;
    let transaction = &first.state.payment().unwrap().wechat_transaction_id;
    let no = setup
        .app
        .create(&setup.customer, &setup.code, 1000, "second")
        .await;
    let second = setup.order(no.parse::<OrderNo>().unwrap().id()).await;
    let notice = setup
        .channel
        .paid_notice(&second, transaction, SystemClock.now(), "twice");
    for _ in 0..2 {
        let body: Bytes = notice.clone();
        let taken = payments::handle_callback(&setup.payments, tenant, HEADERS, body).await;
        assert!(
            matches!(
                taken,
                Ok(HandledCallback::Rejected("transaction_of_another_order"))
            ),
            "{taken:?}"
        );
    }
    let alarms =
        "SELECT COUNT(*) FROM callback_alarms WHERE reason = 'transaction_of_another_order'";
    assert_eq!(setup.app.count(alarms).await, 1);
    let exceptions = "SELECT COUNT(*) FROM payment_exceptions WHERE kind = 'answer_mismatch'";
    assert_eq!(setup.app.count(exceptions).await, 1);
    assert_eq!(
        setup.order(second.id).await.state.kind().name(),
        second.state.kind().name()
    );
    setup.app.finish().await;
}

/// WeChat gives two refunds one number.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_with_the_number_of_another_is_an_alarm_and_not_a_lost_race() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1000, "k").await;
    let first = setup.refund(order, Some(100), "first").await;
    let second = setup.refund(order, Some(100), "second").await;
    let taken = setup.called_back(&first, RefundStatus::Success, "1").await;
    assert_eq!(taken, HandledCallback::Refund);
    // What was noted of the second refund when it was asked for is forgotten, and WeChat says the
    // first one's number.
    setup
        .app
        .execute("UPDATE refunds SET wechat_refund_id = NULL WHERE state <> 6")
        .await;
    let number: String = sqlx::query_scalar("SELECT wechat_refund_id FROM refunds WHERE id = ?")
        .bind(first.id)
        .fetch_one(setup.app.db().pool())
        .await
        .unwrap();
    setup.channel.renumber(&second, &number);
    let order_now = setup.order(order).await;
    let transaction = &order_now.state.payment().unwrap().wechat_transaction_id;
    let notice = setup.channel.refund_notice(
        &second,
        RefundStatus::Success,
        (SUB_MCHID, transaction),
        "2",
    );
    let taken =
        payments::handle_callback(&setup.payments, setup.app.tenant.id, HEADERS, notice).await;
    assert!(
        matches!(taken, Ok(HandledCallback::Rejected("strange_refund_id"))),
        "{taken:?}"
    );
    setup.app.finish().await;
}

/// Both read while the other commits: what does not fit together then is no broken book.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_with_the_callback_of_one_refund_find_nothing_wrong() {
    let setup = RefundSetup::open().await;
    let tenant = setup.app.tenant.id;
    let beside = Payments {
        db: setup.app.another_db().await,
        ..setup.payments.clone()
    };
    let order = setup.paid(100_000, "k").await;
    for number in 0..12 {
        let refund = setup.refund(order, Some(100), &format!("r{number}")).await;
        let paid = setup.order(order).await;
        let transaction = &paid.state.payment().unwrap().wechat_transaction_id;
        let notice = setup.channel.refund_notice(
            &refund,
            RefundStatus::Success,
            (SUB_MCHID, transaction),
            &format!("n{number}"),
        );
        let (here, there) = tokio::join!(
            payments::handle_callback(&setup.payments, tenant, HEADERS, notice.clone()),
            payments::handle_callback(&beside, tenant, HEADERS, notice.clone())
        );
        let mut taken = [here.unwrap(), there.unwrap()];
        taken.sort_by_key(|taken| taken.outcome().name());
        assert_eq!(taken, [HandledCallback::Duplicate, HandledCallback::Refund]);
    }
    beside.db.close().await;
    setup.app.finish().await;
}
