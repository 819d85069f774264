//! Profit sharing against a channel that answers as each test says. Nothing happens by itself
//! here: the tests take the jobs' part, one round at a time.

mod attempts;
mod channel;
mod damage;
mod returns;
mod rules;
mod share;
mod wechat;

use std::sync::Arc;

use zhangfang::{
    audit::Actor,
    idempotency::{Claim, IdempotencyKey},
    jobs,
    ledger::AccountKind,
    payments::{
        self, OneChannel, OrderSharing, Payments, Refund, RefundBy, RefundRole, RefundStateKind,
        RequestRefund,
    },
    primitives::{AccountId, MerchantId, Money, OrderId, OrderNo, ReceiverId},
    sharing::{
        AddReceiver, NewRulePart, NewSharingRule, ReceiverForm, ReceiverKind, Sharing,
        SharingError, SharingView, find_sharing, register_receiver, set_rule,
    },
};

use self::channel::{Channel, SilentProxy, Trouble};
use crate::harness::{Caller, Merchant, TestApp};

const PROVIDER: &str = "1900000100";
const PERSON: &str = "oPerson-1";

/// A merchant whose payments are shared: 10 % for the service provider, 5 % for a person.
struct Stage {
    app: TestApp,
    channel: Channel,
    /// With a channel that is silent about refunds.
    sharing: Sharing,
    merchant_id: MerchantId,
    provider: ReceiverId,
    person: ReceiverId,
    merchant: Merchant,
    customer: Caller,
}

fn fen(units: i64) -> Money {
    Money::parse(units).unwrap()
}

impl Stage {
    async fn set() -> Self {
        let channel = Channel::default();
        let app = TestApp::with_sharing_without_jobs(Arc::new(channel.clone()), |_| {}).await;
        let merchant = app.merchant("茶里巷", "1900000109").await;
        let customer = app.customer("li").await;
        let sharing = Sharing {
            payments: Payments {
                channels: Arc::new(OneChannel(Arc::new(SilentProxy::new()))),
                ..app.app.payments().clone()
            },
            channels: Arc::new(channel.clone()),
        };
        let merchant_id: MerchantId = sqlx::query_scalar("SELECT id FROM merchants")
            .fetch_one(app.db().pool())
            .await
            .unwrap();
        let mut stage = Self {
            provider: ReceiverId::new(merchant_id.id()),
            person: ReceiverId::new(merchant_id.id()),
            app,
            channel,
            sharing,
            merchant_id,
            merchant,
            customer,
        };
        let provider = (ReceiverKind::Merchant, PROVIDER, "SERVICE_PROVIDER");
        stage.provider = stage.receiver(provider).await;
        let person = (ReceiverKind::Person, PERSON, "STAFF");
        stage.person = stage.receiver(person).await;
        let shares = [(stage.provider, 100_000), (stage.person, 50_000)];
        stage.rule(true, &shares).await.unwrap();
        stage
    }

    async fn receiver(&self, (kind, account, relation): (ReceiverKind, &str, &str)) -> ReceiverId {
        let name = Some("账房科技".to_owned());
        let form =
            ReceiverForm::parse(kind, account.to_owned(), name, relation.to_owned()).unwrap();
        let add = AddReceiver {
            tenant: self.app.tenant.id,
            merchant: self.merchant_id,
            form: form.clone(),
            by: Actor::operator("test"),
        };
        let id = self.app.db().run(add).await.unwrap();
        register_receiver(&self.sharing, self.app.tenant.id, id, form)
            .await
            .unwrap();
        id
    }

    async fn rule(&self, active: bool, shares: &[(ReceiverId, u32)]) -> Result<(), SharingError> {
        let parts = shares
            .iter()
            .map(|(receiver, ratio)| NewRulePart {
                receiver: *receiver,
                ratio_ppm: *ratio,
                description: "平台服务费".to_owned(),
            })
            .collect();
        let request = NewSharingRule {
            tenant: self.app.tenant.id,
            merchant: self.merchant_id,
            active,
            parts,
            by: Actor::operator("test"),
        };
        set_rule(&self.sharing, request).await.map(|_| ())
    }

    /// A payment of ¥100, in the books and noted for sharing.
    async fn pay(&self, key: &str) -> OrderId {
        let order_no = self
            .app
            .pay(&self.customer, &self.merchant.code, 10_000, key)
            .await;
        jobs::drain(self.app.db()).await.unwrap();
        order_no.parse::<OrderNo>().unwrap().id()
    }

    /// One round of the jobs, with everything that waits for its time made due.
    async fn round(&self) {
        let mut conn = self.app.sql().await;
        for statement in [
            "UPDATE sharing_dues SET due_at = '2020-01-01'",
            "UPDATE sharings SET next_attempt_at = '2020-01-01' WHERE next_attempt_at IS NOT NULL",
            "UPDATE refunds SET next_attempt_at = '2020-01-01' WHERE state IN (3, 10) AND next_attempt_at IS NOT NULL",
        ] {
            sqlx::query(statement).execute(&mut conn).await.unwrap();
        }
        jobs::sharings_round(&self.sharing, 0).await.unwrap();
    }

    /// Another process on the same database; its handle is to be closed.
    async fn second(&self) -> Sharing {
        Sharing {
            payments: Payments {
                db: self.app.another_db().await,
                ..self.sharing.payments.clone()
            },
            ..self.sharing.clone()
        }
    }

    /// So much time passes that no call which was begun can arrive any more.
    async fn nothing_arrives_any_more(&self) {
        let mut conn = self.app.sql().await;
        for table in ["sharings", "sharing_returns"] {
            let statement = format!(
                "UPDATE {table} SET may_arrive_until = '2020-01-01' WHERE may_arrive_until IS NOT NULL"
            );
            sqlx::query(sqlx::AssertSqlSafe(statement))
                .execute(&mut conn)
                .await
                .unwrap();
        }
    }

    async fn view(&self, order: OrderId) -> SharingView {
        let found = find_sharing(self.app.db(), self.app.tenant.id, order).await;
        found.unwrap().unwrap()
    }

    /// What the order's row says.
    async fn sharing_of(&self, order: OrderId) -> OrderSharing {
        let found = payments::find_order(self.app.db(), self.app.tenant.id, order).await;
        found.unwrap().unwrap().order.sharing
    }

    async fn refund(&self, order: OrderId, amount: i64, key: &str) -> Refund {
        let key = IdempotencyKey::parse(key).unwrap();
        let request = RequestRefund {
            tenant: self.app.tenant.id,
            order,
            amount: Some(fen(amount)),
            reason: "不想要了".to_owned(),
            by: RefundBy {
                actor: Actor::operator("test"),
                role: RefundRole::Operator,
            },
            claim: Claim::new(self.app.tenant.id, "test", "refund", &key, &[]),
        };
        payments::request_refund(&self.sharing.payments, request)
            .await
            .unwrap()
    }

    async fn refund_state(&self, refund: &Refund) -> RefundStateKind {
        let found = payments::find_refund(self.app.db(), refund.tenant, refund.id).await;
        found.unwrap().unwrap().state.kind()
    }

    /// Credits less debits, in fen.
    async fn holds(&self, account: AccountId) -> i64 {
        sqlx::query_scalar("SELECT COALESCE(CAST(SUM(credits_posted - debits_posted) AS SIGNED), 0) FROM accounts WHERE id = ?")
            .bind(account)
            .fetch_one(self.app.db().pool())
            .await
            .unwrap()
    }

    /// What the merchant, the service provider, the person and the way between them hold, in fen.
    async fn books(&self) -> (i64, i64, i64, i64) {
        let transit = AccountId::of_tenant(self.app.tenant.id, AccountKind::SharingInTransit);
        (
            self.holds(AccountId::merchant_payable(self.merchant_id))
                .await,
            self.holds(AccountId::receiver_payable(self.provider)).await,
            self.holds(AccountId::receiver_payable(self.person)).await,
            self.holds(transit).await,
        )
    }

    /// The kind of each; of one that is resolved also how.
    async fn exceptions(&self) -> Vec<String> {
        let exceptions: Vec<(String, Option<String>)> =
            sqlx::query_as("SELECT kind, resolution FROM payment_exceptions ORDER BY id")
                .fetch_all(self.app.db().pool())
                .await
                .unwrap();
        let exceptions = exceptions
            .into_iter()
            .map(|(kind, resolution)| match resolution {
                Some(resolution) => format!("{kind}: {resolution}"),
                None => kind,
            });
        exceptions.collect()
    }

    fn asked(&self) -> Vec<String> {
        self.channel.state().asked.clone()
    }
}
