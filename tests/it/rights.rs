//! What the service's own account may not do, whatever the program asks for.

use sqlx::{ConnectOptions as _, MySqlConnection, mysql::MySqlConnectOptions};
use zhangfang::db::{self, GrantError};

use crate::{
    batch::{adjust, someone},
    harness::{Scratch, TestApp, engine},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_service_can_neither_change_nor_delete_history() {
    let app = TestApp::start().await;
    app.db()
        .submit(adjust(&app, someone(app.db()), 10))
        .await
        .unwrap();
    for statement in [
        "UPDATE transfers SET amount = 1",
        "DELETE FROM transfers",
        "UPDATE commits SET seal = ''",
        "DELETE FROM commits",
        "DELETE FROM payment_order_history",
        "UPDATE refund_history SET actor = 'nobody'",
        "DELETE FROM refund_history",
        "DELETE FROM audit_logs",
        "DELETE FROM payment_orders",
        "DELETE FROM refunds",
        "DELETE FROM callback_events",
        "DELETE FROM callback_alarms",
        "UPDATE callback_alarms SET reason = ''",
        "DELETE FROM sessions",
        "DELETE FROM accounts",
        "DELETE FROM payment_exceptions",
        "DELETE FROM idempotency_keys",
        "DELETE FROM tenants",
        "UPDATE points_rules SET version = 1",
        "UPDATE payment_policies SET version = 1",
        "UPDATE sharing_rules SET version = 1",
        "UPDATE sharing_rule_parts SET version = 1",
        "UPDATE risk_rule_sets SET hash = hash",
        "DROP TABLE transfers",
        "CREATE TABLE x (id INT)",
    ] {
        let refused = sqlx::raw_sql(statement).execute(app.db().pool()).await;
        let refused = refused.expect_err(statement).to_string();
        assert!(refused.contains("denied"), "{statement}: {refused}");
    }
    app.finish().await;
}

/// Every statement of the program that deletes or changes has its right, and no table has a right
/// to delete that no statement needs.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_statement_needs_is_not_granted() {
    let scratch = Scratch::make().await;
    let mut root = scratch.owner.clone().connect().await.unwrap();
    let rights: Vec<(String, String)> = sqlx::query_as(
        "SELECT CAST(table_name AS CHAR), CAST(GROUP_CONCAT(privilege_type) AS CHAR) FROM information_schema.table_privileges \
         WHERE table_schema = DATABASE() AND grantee LIKE '%zhangfang''@%' GROUP BY table_name",
    )
    .fetch_all(&mut root)
    .await
    .unwrap();
    assert!(rights.len() > 30, "{rights:?}");
    let program = program(std::path::Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src"
    )));
    for (table, rights) in rights {
        let deletes = program.contains(&format!("DELETE FROM {table} "));
        assert_eq!(rights.contains("DELETE"), deletes, "{table}: {rights}");
        let updates = [
            format!("UPDATE {table} "),
            format!("STRAIGHT_JOIN {table} "),
        ]
        .iter()
        .any(|statement| program.contains(statement));
        assert!(!updates || rights.contains("UPDATE"), "{table}: {rights}");
    }
    drop(root);
    scratch.drop().await;
}

/// What follows the name of a statement, `/* slice.verb */`, of which the beginning has been read.
fn after_name(text: &str) -> Option<&str> {
    let (name, after) = text.split_once("*/")?;
    let plain = |letter: u8| letter.is_ascii_lowercase() || b" ._".contains(&letter);
    (!name.is_empty() && name.bytes().all(plain)).then_some(after)
}

/// The text of all sources, with the names of statements left out.
fn program(dir: &std::path::Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text.push_str(&program(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            let mut rest = source.as_str();
            while let Some((before, after)) = rest.split_once("/*") {
                if let Some(after) = after_name(after) {
                    text.push_str(before.trim_end());
                    text.push(' ');
                    rest = after.trim_start();
                } else {
                    text.push_str(before);
                    text.push_str("/*");
                    rest = after;
                }
            }
            text.push_str(rest);
        }
    }
    text
}

/// An owner who may do everything in the database and read nothing else.
async fn owner_of(scratch: &Scratch, root: &mut MySqlConnection) -> MySqlConnectOptions {
    let name = scratch.owner.get_database().unwrap().to_owned();
    let user = format!("o{}", &name[name.len() - 12..]);
    for statement in [
        format!("CREATE USER '{user}'@'localhost'"),
        format!("GRANT ALL PRIVILEGES ON `{name}`.* TO '{user}'@'localhost' WITH GRANT OPTION"),
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut *root)
            .await
            .unwrap();
    }
    scratch.owner.clone().username(&user)
}

async fn users(root: &mut MySqlConnection, user: &str) -> i64 {
    sqlx::query_scalar("SELECT COUNT(*) FROM mysql.user WHERE user = ?")
        .bind(user)
        .fetch_one(root)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_to_be_by_being_given_rights() {
    let scratch = Scratch::make().await;
    let mut root = scratch.owner.clone().connect().await.unwrap();
    let owner = owner_of(&scratch, &mut root).await;
    let ghost = format!("g{:08x}", rand::random::<u32>());
    let service = scratch.owner.clone().username(&ghost);
    // The owner cannot know who there is, and nobody can log in as the ghost.
    let refused = db::grant(&owner, &service).await;
    assert!(
        matches!(refused, Err(GrantError::UnknownAccount { .. })),
        "{refused:?} on {}",
        engine()
    );
    assert_eq!(
        users(&mut root, &ghost).await,
        0,
        "an account without a password"
    );
    // The one who may read the accounts knows that there is none.
    let refused = db::grant(&scratch.owner, &service).await;
    assert!(
        matches!(refused, Err(GrantError::NoAccount(_))),
        "{refused:?}"
    );
    assert_eq!(users(&mut root, &ghost).await, 0);
    // The account of the tests exists: its owner learns it from itself.
    let given = db::grant(&owner, &scratch.service).await.unwrap();
    assert_eq!(given, ["'zhangfang'@'localhost'"]);
    let drop_owner = format!("DROP USER '{}'@'localhost'", owner.get_username());
    sqlx::raw_sql(sqlx::AssertSqlSafe(drop_owner))
        .execute(&mut root)
        .await
        .unwrap();
    drop(root);
    scratch.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_from_another_host_is_given_its_rights_and_old_ones_are_taken_away() {
    let scratch = Scratch::make().await;
    let mut root = scratch.owner.clone().connect().await.unwrap();
    let user = format!("s{:08x}", rand::random::<u32>());
    for statement in [
        format!("CREATE USER '{user}'@'10.9.%'"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON payment_orders TO '{user}'@'10.9.%'"),
        format!("GRANT SELECT, INSERT, UPDATE ON transfers TO '{user}'@'10.9.%'"),
        "CREATE TABLE somebody_elses (id INT PRIMARY KEY)".to_owned(),
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut root)
            .await
            .unwrap();
    }
    let service = scratch.owner.clone().username(&user);
    let given = db::grant(&scratch.owner, &service).await.unwrap();
    assert_eq!(given, [format!("'{user}'@'10.9.%'")]);
    for (table, expected) in [
        ("payment_orders", "INSERT,SELECT,UPDATE"),
        ("transfers", "INSERT,SELECT"),
        ("sharing_dues", "DELETE,INSERT,SELECT,UPDATE"),
        ("postings", "SELECT"),
    ] {
        let rights: String = sqlx::query_scalar(
            "SELECT CAST(GROUP_CONCAT(privilege_type ORDER BY privilege_type) AS CHAR) FROM information_schema.table_privileges \
             WHERE table_schema = DATABASE() AND table_name = ? AND grantee LIKE ?",
        )
        .bind(table)
        .bind(format!("%{user}%"))
        .fetch_one(&mut root)
        .await
        .unwrap();
        assert_eq!(rights, expected, "{table}");
    }
    let on_others: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM information_schema.table_privileges WHERE table_schema = DATABASE() AND table_name = 'somebody_elses' AND grantee LIKE ?",
    )
    .bind(format!("%{user}%"))
    .fetch_one(&mut root)
    .await
    .unwrap();
    assert_eq!(on_others, 0, "a table that no migration makes");
    // Again, with nothing to do.
    db::grant(&scratch.owner, &service).await.unwrap();
    let statement = format!("DROP USER '{user}'@'10.9.%'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(&mut root)
        .await
        .unwrap();
    drop(root);
    scratch.drop().await;
}
