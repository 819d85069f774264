//! The service itself, through its use cases, on a clock that the test moves and with a channel
//! that says what the test wants.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use sqlx::ConnectOptions as _;
use zhangfang::{
    audit::Actor,
    auth::Principal,
    customers,
    db::{Cx, Db, DbOptions, Operation, SubmitError, Wanted, WorkingSet},
    facts::Origin,
    idempotency::{Claim, IdempotencyKey},
    jobs,
    ledger::{self, Draft, LedgerError},
    merchants::{CodeForm, CreateCode, Decide, Decision, MerchantCache, MerchantForm, Register},
    outbox::{self, Event},
    payments::{
        self, CreatePayment, HandledCallback, LatePayment, NoticeHeaders, OneChannel, Order,
        Payments, PointsParties, PointsShortfall, PolicyCache, PolicyTerms, RecentOrders, Refund,
        RefundBy, RefundError, RefundRole, RefundStatus, RequestRefund, SetPolicy, TimeScale,
    },
    points::{
        self, End, Instruction, PointsCommand, PointsError, PointsService, PointsTransactionState,
        Reference, RuleTerms, RulesCache, SetRule, Source, Validity, expiry::ExpireLots,
    },
    primitives::{
        AccountId, BusinessDay, Clock as _, CustomerId, EntryId, EntryKind, Id, Lane, MockClock,
        Money, Points, PointsTransactionId, Secret, SeededIds, TenantId, Timestamp,
    },
    risk::Risk,
    verify,
};

use super::book::{No, Purse, Terms};
use crate::harness::{Channel, Scratch, eventually};

const SUB_MCHID: &str = "1900000170";

/// One merchant, as many customers as come, and nobody in a hurry.
pub(crate) struct House {
    pub(crate) scratch: Scratch,
    pub(crate) db: Db,
    pub(crate) clock: Arc<MockClock>,
    pub(crate) tenant: TenantId,
    payments: Payments,
    service: PointsService,
    channel: Arc<Channel>,
    code: String,
    /// Points transactions that a back end has asked for: their references.
    asked: AtomicU64,
}

/// A payment that was made, with the callback that says so.
#[derive(Debug, Clone)]
pub(crate) struct Paid {
    pub(crate) order: Order,
    transaction: String,
    pub(crate) notice: Bytes,
}

/// The day on which every house opens, at noon in Beijing.
fn opening() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-21T12:00:00+08:00").unwrap()
}

impl House {
    pub(crate) async fn open(seed: u64) -> Self {
        let scratch = Scratch::make().await;
        let clock = Arc::new(MockClock::at(opening()));
        let options = DbOptions::new(scratch.service.clone());
        let ids = Arc::new(SeededIds::new(seed));
        let db = Db::connect(options, clock.clone(), ids).await.unwrap();
        eventually("the committers are ready", || async {
            db.is_ready().await.then_some(())
        })
        .await;
        let tenant = zhangfang::points::create_tenant(&db, "demo", "演示平台")
            .await
            .unwrap()
            .id;
        let channel = Arc::new(Channel::default());
        let payments = Payments {
            rules: RulesCache::start(db.clone()),
            policies: PolicyCache::start(db.clone()),
            risk: Risk::off(),
            merchants: MerchantCache::start(db.clone()),
            recent: RecentOrders::default(),
            time_scale: TimeScale::default(),
            channels: Arc::new(OneChannel(Arc::<Channel>::clone(&channel))),
            db: db.clone(),
        };
        let code = open_merchant(&db, tenant).await;
        let service = PointsService {
            db: db.clone(),
            rules: payments.rules.clone(),
            risk: Risk::off(),
            parties: Arc::new(PointsParties),
        };
        Self {
            scratch,
            db,
            clock,
            tenant,
            payments,
            service,
            channel,
            code,
            asked: AtomicU64::new(0),
        }
    }

    pub(crate) fn today(&self) -> BusinessDay {
        self.clock.now().business_day()
    }

    /// From now on payments earn by these terms.
    pub(crate) async fn set_terms(&self, terms: Terms) {
        let cap = |cap: Option<i64>| cap.map(|cap| Points::parse(cap).unwrap());
        let rule = RuleTerms {
            ratio: terms.ratio.into(),
            daily_cap: cap(terms.daily_cap),
            total_cap: cap(terms.total_cap),
            validity: terms
                .days
                .map_or(Validity::Never, |count| Validity::Days { count }),
            ..RuleTerms::default()
        };
        let tenant = self.tenant;
        let set = SetRule {
            tenant,
            merchant: None,
            terms: rule,
            effective_from: None,
            by: Actor::operator("test"),
        };
        self.db.run(set).await.unwrap();
        self.payments.rules.forget(tenant);
        let points_shortfall = if terms.refuse {
            PointsShortfall::Refuse
        } else {
            PointsShortfall::Debt
        };
        let policy = SetPolicy {
            tenant,
            terms: PolicyTerms {
                points_shortfall,
                ..PolicyTerms::default()
            },
            by: Actor::operator("test"),
        };
        self.db.run(policy).await.unwrap();
        self.payments.policies.forget(tenant);
    }

    pub(crate) async fn customer(&self, name: &str) -> CustomerId {
        let openid = Secret::new(format!("o-{name}"));
        customers::recognise(&self.db, self.tenant, &openid)
            .await
            .unwrap()
    }

    /// A customer pays; the callback is on its way.
    pub(crate) async fn pay(&self, customer: CustomerId, fen: i64, key: &str) -> Paid {
        let request = CreatePayment {
            tenant: self.tenant,
            customer,
            payer_openid: Secret::new("o-payer".into()),
            origin: Origin::default(),
            code: self.code.clone(),
            amount: Some(Money::parse(fen).unwrap()),
            key: key.to_owned(),
        };
        let order = payments::create_payment(&self.payments, request)
            .await
            .unwrap()
            .order;
        let transaction = format!("42{}", order.no());
        let notice = self.notice_of(&order, &transaction, "1");
        Paid {
            order,
            transaction,
            notice,
        }
    }

    /// The callback of a payment that the customer made at this instant.
    pub(crate) fn paid_at(&self, paid: &Paid, at: Timestamp) -> Bytes {
        let notice = format!("paid-{}-{}", paid.order.no(), at.micros());
        self.channel
            .paid_notice(&paid.order, &paid.transaction, at, &notice)
    }

    /// WeChat is asked, and says what this callback would.
    pub(crate) async fn confirm(&self, paid: &Paid, notice: &Bytes) {
        self.channel.knows_paid(&paid.order, notice);
        let order = payments::confirm(&self.payments, self.tenant, paid.order.id).await;
        assert!(order.unwrap().state.payment().is_some());
    }

    /// The customer thinks better of it before paying.
    pub(crate) async fn close(&self, paid: &Paid) {
        let by = payments::CloseBy::Customer;
        let order = payments::close_payment(&self.payments, self.tenant, paid.order.id, by).await;
        assert!(order.unwrap().state.payment().is_none());
    }

    /// A payment of an order that was closed counts after all.
    pub(crate) async fn reopen_late_payments(&self) {
        let policy = SetPolicy {
            tenant: self.tenant,
            terms: PolicyTerms {
                late_payment: LatePayment::Reopen,
                ..PolicyTerms::default()
            },
            by: Actor::operator("test"),
        };
        self.db.run(policy).await.unwrap();
        self.payments.policies.forget(self.tenant);
    }

    /// A rule that begins then, or now.
    pub(crate) async fn plan_rule(&self, terms: RuleTerms, effective_from: Option<Timestamp>) {
        let tenant = self.tenant;
        let set = SetRule {
            tenant,
            merchant: None,
            terms,
            effective_from,
            by: Actor::operator("test"),
        };
        self.db.run(set).await.unwrap();
        self.payments.rules.forget(tenant);
    }

    fn notice_of(&self, order: &Order, transaction: &str, number: &str) -> Bytes {
        let notice = format!("paid-{}-{number}", order.no());
        let at = self.clock.now();
        self.channel.paid_notice(order, transaction, at, &notice)
    }

    /// WeChat says the same in another callback.
    pub(crate) fn said_again(&self, paid: &Paid) -> Bytes {
        self.notice_of(&paid.order, &paid.transaction, "2")
    }

    pub(crate) async fn deliver_callback(&self, notice: &Bytes) -> HandledCallback {
        let headers = NoticeHeaders {
            timestamp: None,
            nonce: None,
            signature: None,
            serial: None,
            signature_type: None,
        };
        payments::handle_callback(&self.payments, self.tenant, headers, notice.clone())
            .await
            .unwrap()
    }

    /// Points that the order says it earned.
    pub(crate) async fn earned(&self, paid: &Paid) -> i64 {
        let found = payments::find_order(&self.db, self.tenant, paid.order.id).await;
        let order = found.unwrap().unwrap().order;
        order.state.payment().unwrap().points.get()
    }

    /// Asks for a refund, which WeChat takes. `key` names the request.
    pub(crate) async fn ask_refund(&self, paid: &Paid, fen: i64, key: &str) -> Result<Refund, No> {
        let input = format!("{} {fen}", paid.order.id);
        let key = IdempotencyKey::parse(key).unwrap();
        let request = RequestRefund {
            tenant: self.tenant,
            order: paid.order.id,
            amount: Some(Money::parse(fen).unwrap()),
            reason: "不想要了".into(),
            by: RefundBy {
                actor: Actor::operator("ops"),
                role: RefundRole::Operator,
            },
            claim: Claim::new(self.tenant, "ops", "/refunds", &key, &[input.as_bytes()]),
        };
        match payments::request_refund(&self.payments, request).await {
            Ok(refund) => Ok(refund),
            Err(RefundError::ExceedsRefundable { .. }) => Err(No::TooMuch),
            Err(RefundError::PointsSpent { .. }) => Err(No::Short),
            Err(error) => panic!("{error:?}"),
        }
    }

    /// What WeChat says became of the refund.
    pub(crate) fn outcome(&self, paid: &Paid, refund: &Refund, arrived: bool, number: u8) -> Bytes {
        let status = if arrived {
            RefundStatus::Success
        } else {
            RefundStatus::Closed
        };
        let notice = format!("refund-{}-{number}", refund.no());
        let paid = (SUB_MCHID, paid.transaction.as_str());
        self.channel.refund_notice(refund, status, paid, &notice)
    }

    /// A back end asks for a points transaction under a new reference, and once more.
    async fn ask(
        &self,
        who: CustomerId,
        instruction: Instruction,
        points: i64,
    ) -> Result<PointsTransactionId, No> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let request = PointsCommand {
            tenant: self.tenant,
            customer: who,
            instruction,
            points: Points::parse(points).unwrap(),
            source: crm(),
            reference: Reference::parse(&format!("d-{number}")).unwrap(),
            reason: "测试".into(),
            order: None,
            merchant: None,
            by: Actor::operator("crm"),
        };
        let points_transaction = match points::execute(&self.service, request.clone()).await {
            Ok(asked) => asked.transaction.id,
            Err(PointsError::Insufficient { .. }) => return Err(No::Short),
            Err(error) => panic!("{error:?}"),
        };
        let again = points::execute(&self.service, request).await.unwrap();
        assert!(again.repeated && again.transaction.id == points_transaction);
        Ok(points_transaction)
    }

    /// Gives points that are gone on that day.
    pub(crate) async fn award(&self, to: CustomerId, points: i64, lot: BusinessDay) {
        let expired_from = Some(lot);
        let award = self
            .ask(to, Instruction::Award { expired_from }, points)
            .await;
        award.unwrap();
    }

    pub(crate) async fn deduct(
        &self,
        from: CustomerId,
        points: i64,
    ) -> Result<PointsTransactionId, No> {
        self.ask(from, Instruction::Deduct, points).await
    }

    pub(crate) async fn redeem(
        &self,
        from: CustomerId,
        points: i64,
    ) -> Result<PointsTransactionId, No> {
        self.ask(from, Instruction::Redeem, points).await
    }

    /// Gives back so many points of what a points transaction took, and once more under the same
    /// reference.
    pub(crate) async fn give_back(&self, of: PointsTransactionId, points: i64) -> Result<(), No> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let request = points::ReturnCommand {
            tenant: self.tenant,
            of,
            points: Points::parse(points).unwrap(),
            source: crm(),
            reference: Reference::parse(&format!("b-{number}")).unwrap(),
            reason: "测试".into(),
            by: Actor::operator("crm"),
        };
        match points::return_points(&self.service, request.clone()).await {
            Ok(_) => {}
            Err(PointsError::ReturnTooMuch { .. }) => return Err(No::TooMuch),
            Err(error) => panic!("{error:?}"),
        }
        assert!(
            points::return_points(&self.service, request)
                .await
                .unwrap()
                .repeated
        );
        Ok(())
    }

    /// Holds points for so many minutes.
    pub(crate) async fn hold(
        &self,
        from: CustomerId,
        points: i64,
        minutes: u32,
    ) -> Result<PointsTransactionId, No> {
        self.ask(from, Instruction::Hold { minutes }, points).await
    }

    /// Spends so many points of a hold, and releases the rest.
    pub(crate) async fn capture(&self, hold: PointsTransactionId, points: i64) -> Result<(), No> {
        let points = Points::parse(points).unwrap();
        let end = End::Capture {
            points: Some(points),
        };
        match points::end_hold(&self.service, self.crm(), hold, end, Actor::operator("crm")).await {
            Ok(points_transaction) => {
                assert_eq!(
                    (points_transaction.state, points_transaction.captured),
                    (PointsTransactionState::Done, points)
                );
                Ok(())
            }
            Err(PointsError::State(PointsTransactionState::Expired)) => Err(No::Over),
            Err(error) => panic!("{error:?}"),
        }
    }

    pub(crate) async fn release(&self, hold: PointsTransactionId) {
        let by = Actor::operator("crm");
        let ended = points::end_hold(&self.service, self.crm(), hold, End::Release, by).await;
        assert_eq!(ended.unwrap().state, PointsTransactionState::Released);
    }

    /// What the job does with a hold whose time is over. False if it is not.
    pub(crate) async fn time_out(&self, hold: PointsTransactionId) -> bool {
        let ended = points::time_out(&self.db, self.tenant, hold).await;
        ended.unwrap()
    }

    /// What the nightly run does with a customer's points; how many expire.
    pub(crate) async fn sweep(&self, who: CustomerId) -> i64 {
        let expire = ExpireLots {
            tenant: self.tenant,
            account: AccountId::customer_points(who),
            today: self.today(),
        };
        let expired = self.db.submit(expire).await.unwrap();
        assert!(!expired.more);
        expired.points.get()
    }

    fn crm(&self) -> (TenantId, Source) {
        (self.tenant, crm())
    }

    /// An entry with one leg, of a new cause: what no use case writes.
    pub(crate) async fn book(
        &self,
        whose: CustomerId,
        kind: EntryKind,
        draft: Draft,
    ) -> Result<EntryId, SubmitError<LedgerError>> {
        let cause = self.db.new_id(whose.lane());
        let book = Book {
            tenant: self.tenant,
            cause,
            kind,
            draft,
        };
        self.db.submit(book).await
    }

    /// What the database says of a customer, in the words of the model; and what is held.
    pub(crate) async fn purse(&self, customer: CustomerId) -> (Purse, i64, i64) {
        let account = AccountId::customer_points(customer);
        let row: Option<(i64, i64, i64, Option<time::Date>, i64)> = sqlx::query_as(
            "SELECT credits_posted - debits_posted, debits_pending, debt, earned_on, earned_points FROM accounts WHERE id = ?",
        )
        .bind(account)
        .fetch_optional(self.db.pool())
        .await
        .unwrap();
        let lots: Vec<(time::Date, i64)> = sqlx::query_as(
            "SELECT expired_from, remaining FROM points_lots WHERE account_id = ? AND remaining > 0",
        )
        .bind(account)
        .fetch_all(self.db.pool())
        .await
        .unwrap();
        let lots: BTreeMap<BusinessDay, i64> = lots
            .into_iter()
            .map(|(day, left)| (BusinessDay(day), left))
            .collect();
        let (posted, held, debt, on, points) = row.unwrap_or_default();
        let purse = Purse {
            lots,
            debt,
            earned: on.map(|on| (BusinessDay(on), points)),
            ..Purse::default()
        };
        (purse, posted, held)
    }

    /// What versions of the rule with a total cap handed out, the newest version's.
    pub(crate) async fn granted(&self) -> i64 {
        let granted: Option<i64> = sqlx::query_scalar(
            "SELECT b.granted FROM points_budgets b WHERE b.rule_version = (SELECT MAX(version) FROM points_rules)",
        )
        .fetch_optional(self.db.pool())
        .await
        .unwrap();
        granted.unwrap_or(0)
    }

    pub(crate) async fn verify(&self) -> verify::Report {
        jobs::drain(&self.db).await.unwrap();
        verify::verify_at_rest(&self.scratch.owner, &mut ())
            .await
            .unwrap()
    }

    /// Changes rows behind the service's back, as an owner of the database could.
    pub(crate) async fn execute(&self, statement: &'static str) {
        let mut conn = self.scratch.owner.clone().connect().await.unwrap();
        sqlx::raw_sql(statement).execute(&mut conn).await.unwrap();
    }

    /// The books are clean.
    pub(crate) async fn finish(self) {
        let report = self.verify().await;
        assert!(report.is_clean(), "the books are not clean:\n{report}");
        self.db.close().await;
        self.scratch.give_back().await;
    }
}

async fn open_merchant(db: &Db, tenant: TenantId) -> String {
    let owner = Secret::new("o-owner".to_owned());
    let customer = customers::recognise(db, tenant, &owner).await.unwrap();
    let secret = |text: &str| Secret::new(text.to_owned());
    let form = MerchantForm::parse(
        "茶里巷",
        &secret("王小二"),
        &secret("13800001234"),
        "91310000MA1K00000X",
        "茶里巷 1 号",
    );
    let register = Register {
        tenant,
        customer,
        form: form.unwrap(),
    };
    let registered = db.run(register).await.unwrap();
    let decide = Decide {
        tenant,
        merchant: registered.merchant.id,
        decision: Decision::approve(SUB_MCHID).unwrap(),
        by: Actor::operator("test"),
    };
    db.run(decide).await.unwrap();
    let code = CreateCode {
        tenant,
        merchant: registered.merchant.id,
        form: CodeForm::parse("前台", None).unwrap(),
        by: Principal::Customer {
            tenant,
            id: customer,
        },
    };
    db.run(code).await.unwrap().code.to_string()
}

fn crm() -> Source {
    Source::parse("crm").unwrap()
}

/// An entry that no use case would write.
#[derive(Debug)]
struct Book {
    tenant: TenantId,
    cause: Id,
    kind: EntryKind,
    draft: Draft,
}

impl Operation for Book {
    type Reply = EntryId;
    type Refusal = LedgerError;
    const NAME: &'static str = "test.book";

    fn lane(&self) -> Lane {
        self.cause.lane()
    }

    fn rows(&self, want: &mut Wanted, _set: &WorkingSet) {
        ledger::want_accounts(want, &[self.draft]);
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<EntryId, LedgerError> {
        let (entry, tenant) = (EntryId::of(self.cause, self.kind), self.tenant);
        ledger::post(set, tenant, entry, &[self.draft], cx.now())?;
        outbox::tell(cx, &Event::EntryPosted { entry, tenant });
        Ok(entry)
    }
}
