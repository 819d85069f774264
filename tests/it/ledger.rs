//! Pending transfers: held, then posted or voided, once.

use zhangfang::{
    db::{Cx, Operation, SubmitError, Wanted, WorkingSet},
    ledger::{self, AccountKind, Accounts, Draft, LedgerError, Resolution},
    outbox::{self, Event},
    points,
    primitives::{AccountId, CustomerId, EntryId, EntryKind, Lane, TenantId},
};

use crate::{
    batch::{Adjust, adjust, someone},
    harness::TestApp,
};

#[derive(Debug, Clone)]
struct Resolve {
    tenant: TenantId,
    entry: EntryId,
    way: Resolution,
}

impl Operation for Resolve {
    type Reply = ();
    type Refusal = LedgerError;
    const NAME: &'static str = "test.resolve";

    fn lane(&self) -> Lane {
        self.entry.lane()
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        ledger::want_resolution(want, set, self.entry, 1);
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
        ledger::resolve(set, self.entry, 1, self.way, None, cx.now())?;
        outbox::tell(
            cx,
            &Event::EntryPosted {
                entry: self.entry.resolution(),
                tenant: self.tenant,
            },
        );
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn points_that_are_held_are_not_available_until_they_are_released() {
    let app = TestApp::start().await;
    let customer = someone(app.db());
    let balance = || async {
        let balance = points::balance(app.db(), app.tenant.id, customer)
            .await
            .unwrap();
        (
            balance.posted.get(),
            balance.held.get(),
            balance.available.get(),
            balance.pending.get(),
        )
    };
    app.db().submit(adjust(&app, customer, 10)).await.unwrap();
    let hold = Adjust {
        pending: true,
        ..adjust(&app, customer, -8)
    };
    app.db().submit(hold.clone()).await.unwrap();
    assert_eq!(balance().await, (10, 8, 2, 0));
    let spend = app.db().submit(adjust(&app, customer, -3)).await;
    assert!(
        matches!(spend, Err(SubmitError::Refused(LedgerError::Insufficient))),
        "{spend:?}"
    );

    let release = Resolve {
        tenant: app.tenant.id,
        entry: hold.entry(),
        way: Resolution::Void,
    };
    app.db().submit(release).await.unwrap();
    assert_eq!(balance().await, (10, 0, 10, 0));

    let credit = Adjust {
        pending: true,
        ..adjust(&app, customer, 5)
    };
    app.db().submit(credit.clone()).await.unwrap();
    assert_eq!(balance().await, (10, 0, 10, 5));
    app.db()
        .submit(Resolve {
            tenant: app.tenant.id,
            entry: credit.entry(),
            way: Resolution::Post,
        })
        .await
        .unwrap();
    assert_eq!(balance().await, (15, 0, 15, 0));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_entry_is_resolved_once_whichever_way_and_by_whichever_process() {
    let app = TestApp::start().await;
    let other = app.another_db().await;
    for _ in 0..15 {
        let customer = someone(app.db());
        app.db().submit(adjust(&app, customer, 10)).await.unwrap();
        let hold = Adjust {
            pending: true,
            ..adjust(&app, customer, -6)
        };
        app.db().submit(hold.clone()).await.unwrap();
        let resolve = |way| Resolve {
            tenant: app.tenant.id,
            entry: hold.entry(),
            way,
        };
        let (post, void) = tokio::join!(
            app.db().submit(resolve(Resolution::Post)),
            other.submit(resolve(Resolution::Void))
        );
        assert_ne!(post.is_ok(), void.is_ok(), "{post:?} {void:?}");
        let left = points::balance(app.db(), app.tenant.id, customer)
            .await
            .unwrap()
            .available
            .get();
        assert_eq!(left, if post.is_ok() { 4 } else { 10 });
    }
    other.close().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_pending_cannot_be_resolved() {
    let app = TestApp::start().await;
    let customer = someone(app.db());
    let posted = adjust(&app, customer, 10);
    app.db().submit(posted.clone()).await.unwrap();
    let resolve = Resolve {
        tenant: app.tenant.id,
        entry: posted.entry(),
        way: Resolution::Void,
    };
    let refused = app.db().submit(resolve).await;
    assert!(
        matches!(refused, Err(SubmitError::Refused(LedgerError::NotPending))),
        "{refused:?}"
    );
    app.finish().await;
}

/// Books a shortfall, grants points and has these repay the debt, without having read a lot.
#[derive(Debug)]
struct RepayAtOnce {
    tenant: TenantId,
    customer: CustomerId,
    entry: EntryId,
}

impl Operation for RepayAtOnce {
    type Reply = ();
    type Refusal = LedgerError;
    const NAME: &'static str = "test.repay_at_once";

    fn lane(&self) -> Lane {
        self.customer.lane()
    }

    fn rows(&self, want: &mut Wanted, _set: &WorkingSet) {
        want.row::<Accounts>(AccountId::customer_points(self.customer));
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<(), LedgerError> {
        let (tenant, entry) = (self.tenant, self.entry);
        let theirs = AccountId::customer_points(self.customer);
        let debt = AccountId::customer_debt(self.customer);
        let issued = AccountId::of_tenant(tenant, AccountKind::PointsIssued);
        let lot = cx.now().business_day().plus_days(1);
        let drafts = [
            Draft::posted(debt, theirs, 4),
            Draft::posted(issued, theirs, 10).expiring(lot),
            Draft::posted(theirs, debt, 4).from_lot(Some(lot)),
        ];
        ledger::post(set, tenant, entry, &drafts, cx.now())?;
        outbox::tell(cx, &Event::EntryPosted { entry, tenant });
        Ok(())
    }
}

/// A refund may book a shortfall in the batch in which a payment settles that had loaded an account
/// without debt.
#[tokio::test(flavor = "multi_thread")]
async fn a_debt_that_turns_up_in_the_batch_is_repaid_out_of_what_is_granted_there() {
    let app = TestApp::start().await;
    let customer = someone(app.db());
    for _ in 0..2 {
        let operation = RepayAtOnce {
            tenant: app.tenant.id,
            customer,
            entry: EntryId::of(app.db().new_id(customer.lane()), EntryKind::Adjustment),
        };
        app.db().submit(operation).await.unwrap();
    }
    let balance = points::balance(app.db(), app.tenant.id, customer)
        .await
        .unwrap();
    assert_eq!((balance.posted.get(), balance.debt.get()), (20, 0));
    app.finish().await;
}
