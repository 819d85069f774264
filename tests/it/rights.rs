//! What the service's own account may not do, whatever the program asks for.

use crate::{
    batch::{adjust, someone},
    harness::TestApp,
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
        "DROP TABLE transfers",
        "CREATE TABLE x (id INT)",
    ] {
        let refused = sqlx::raw_sql(statement).execute(app.db().pool()).await;
        let refused = refused.expect_err(statement).to_string();
        assert!(refused.contains("denied"), "{statement}: {refused}");
    }
    app.finish().await;
}
