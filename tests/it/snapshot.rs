//! Everything that a batch decides on is of one moment, however many tables and steps it is loaded
//! in.
//!
//! A reader stops between two of its statements, at a lock that the test holds, while another
//! process commits a change of both tables: what the reader then says is as it was before that
//! commit, or as it is after, and never half of each.

use std::{convert::Infallible, time::Duration};

use sqlx::{ConnectOptions as _, MySqlConnection, Row as _, mysql::MySqlRow};
use zhangfang::{
    db::{Cx, LoadRows, Operation, RowSet, Sql, Wanted, WorkingSet},
    ledger::{self, Accounts, Transfers},
    primitives::{AccountId, CustomerId, EntryId, Lane, TransferId},
};

use crate::{
    batch::{adjust, someone},
    harness::{TestApp, sessions},
};

/// A table that is read between those of transfers and of accounts, and only by whoever gets a
/// lock.
#[derive(Debug)]
struct Gate;

impl RowSet for Gate {
    type Key = u32;
    type Row = ();
    const LOCK_ORDER: u8 = 45;
}

impl LoadRows for Gate {
    fn load(keys: &[u32], sql: &mut Sql) {
        for key in keys {
            sql.push("SELECT CAST(").int(*key);
            sql.push(" AS SIGNED), GET_LOCK('gate ").int(*key);
            sql.push("', 30), RELEASE_LOCK('gate ").int(*key).push("')");
        }
    }

    fn read(row: &MySqlRow) -> Result<(u32, ()), sqlx::Error> {
        let key: i64 = row.try_get(0)?;
        let key = key
            .try_into()
            .map_err(|_| sqlx::Error::Decode("a gate".into()))?;
        Ok((key, ()))
    }
}

/// How the reader asks for what it reads.
#[derive(Debug, Clone, Copy)]
enum Loads {
    /// All of it at once: one text.
    Together,
    /// The transfer first, which leads to the account: two texts.
    InSteps,
}

/// Whether the entry is in the books, and what the account holds.
#[derive(Debug, Clone)]
struct Look {
    customer: CustomerId,
    entry: EntryId,
    gate: u32,
    loads: Loads,
}

impl Look {
    fn account(&self) -> AccountId {
        AccountId::customer_points(self.customer)
    }

    fn want_rest(&self, want: &mut Wanted) {
        want.row::<Gate>(self.gate);
        want.row::<Accounts>(self.account());
    }
}

impl Operation for Look {
    type Reply = (bool, i64);
    type Refusal = Infallible;
    const NAME: &'static str = "test.look";

    fn lane(&self) -> Lane {
        self.customer.lane()
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        ledger::want_entry(want, self.entry);
        let first = TransferId {
            entry: self.entry,
            leg: 0,
        };
        match self.loads {
            Loads::Together => self.want_rest(want),
            Loads::InSteps if set.has_loaded::<Transfers>(first) => self.want_rest(want),
            Loads::InSteps => {}
        }
    }

    fn decide(&self, set: &mut WorkingSet, _cx: &mut Cx<'_>) -> Result<(bool, i64), Infallible> {
        let account = set.get::<Accounts>(self.account());
        let holds = account.map_or(0, ledger::Account::posted);
        Ok((ledger::is_posted(set, self.entry), holds))
    }
}

/// Holds the gate until it is dropped.
struct Shut {
    holder: MySqlConnection,
    number: u32,
}

impl Shut {
    async fn gate(app: &TestApp) -> Self {
        let mut holder = app.sql().await;
        // Names of locks belong to the server, which other tests use too.
        let number = rand::random::<u32>() >> 1;
        let got: Option<i64> = sqlx::query_scalar("SELECT GET_LOCK(?, 0)")
            .bind(format!("gate {number}"))
            .fetch_one(&mut holder)
            .await
            .unwrap();
        assert_eq!(got, Some(1));
        Self { holder, number }
    }

    async fn open(mut self) {
        sqlx::query("SELECT RELEASE_LOCK(?)")
            .bind(format!("gate {}", self.number))
            .execute(&mut self.holder)
            .await
            .unwrap();
    }
}

/// Returns once the session of the committer waits at the gate.
async fn at_the_gate(root: &mut MySqlConnection, number: u32) {
    let waits = async {
        loop {
            let waiting = format!(
                "state = 'User lock' AND user = 'zhangfang' AND info LIKE '%gate {number}%'"
            );
            let found = sessions(&mut *root, &waiting).await.unwrap_or_default();
            if !found.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(20), waits).await;
    found.expect("the load waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_decided_on_is_of_one_moment() {
    let app = TestApp::start().await;
    let other = app.another_db().await;
    let mut root = app.scratch.owner.clone().connect().await.unwrap();
    for loads in [Loads::Together, Loads::InSteps] {
        let customer = someone(app.db());
        let written = adjust(&app, customer, 7);
        let gate = Shut::gate(&app).await;
        let look = Look {
            customer,
            entry: written.entry(),
            gate: gate.number,
            loads,
        };
        let looking = tokio::spawn({
            let (db, look) = (app.db().clone(), look.clone());
            async move { db.submit(look).await }
        });
        at_the_gate(&mut root, gate.number).await;
        assert!(other.submit(written).await.unwrap());
        gate.open().await;
        let seen = looking.await.unwrap().unwrap();
        assert_eq!(seen, (false, 0), "{loads:?}: torn");
        // The next batch sees what is there by then.
        assert_eq!(app.db().submit(look).await.unwrap(), (true, 7), "{loads:?}");
    }
    other.close().await;
    app.finish().await;
}

/// The table was rebuilt since the snapshot, as by an online schema change: the load is made again,
/// and no caller sees it.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_rebuilt_during_a_load_is_loaded_again() {
    let app = TestApp::start().await;
    let mut root = app.scratch.owner.clone().connect().await.unwrap();
    let customer = someone(app.db());
    let written = adjust(&app, customer, 7);
    let gate = Shut::gate(&app).await;
    let look = Look {
        customer,
        entry: written.entry(),
        gate: gate.number,
        loads: Loads::Together,
    };
    assert!(app.db().submit(written).await.unwrap());
    let looking = tokio::spawn({
        let db = app.db().clone();
        async move { db.submit(look).await }
    });
    at_the_gate(&mut root, gate.number).await;
    sqlx::query("ALTER TABLE accounts ENGINE = InnoDB, ALGORITHM = COPY")
        .execute(&mut root)
        .await
        .unwrap();
    gate.open().await;
    assert_eq!(looking.await.unwrap().unwrap(), (true, 7));
    app.finish().await;
}
