//! Verification asks the rules again: a decision that was changed behind their back is found, and
//! so are rules that were.

use std::fmt::Write as _;

use sqlx::Row as _;
use zhangfang::{
    risk::{Action, Decision, Effect},
    verify::Invariant,
};

use super::{at_most, decisions::decided, from, payment, somebody};
use crate::{harness::TestApp, verification::Copy};

/// The form in which decisions are packed.
const FORM: u8 = 1;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The statement that puts a changed decision in the place of the one that stopped the payment,
/// with columns that agree.
async fn instead(app: &TestApp, change: impl FnOnce(&mut Decision)) -> String {
    let row = sqlx::query("SELECT id, decision FROM risk_decisions WHERE action = 3")
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap();
    let (id, packed): (Vec<u8>, Vec<u8>) = (row.get(0), row.get(1));
    assert_eq!(packed[0], FORM);
    let mut decision: Decision = postcard::from_bytes(&packed[1..]).unwrap();
    change(&mut decision);
    let packed = postcard::to_extend(&decision, vec![FORM]).unwrap();
    let shadow = decision.fired.iter();
    let shadow = shadow.filter(|fired| fired.effect == Effect::Shadow);
    format!(
        "UPDATE risk_decisions SET action = {}, shadow = {}, rule_set = {}, decision = x'{}' WHERE id = x'{}'",
        decision.action.code(),
        shadow.map(|fired| fired.action.code()).max().unwrap_or(0),
        decision.rule_set,
        hex(&packed),
        hex(&id),
    )
}

/// Three payments of one customer, the last of which is stopped.
async fn books() -> TestApp {
    let app = TestApp::with_rules(&at_most(2, "1h")).await;
    let customer = somebody();
    for _ in 0..3 {
        let mut facts = from(payment(customer), "203.0.113.9");
        facts.tenant = app.tenant.id;
        decided(&app, facts).await;
    }
    let stopped = "SELECT COUNT(*) FROM risk_decisions WHERE action = 3";
    assert_eq!(app.count(stopped).await, 1);
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_its_rules_would_not_make_again_is_found_and_named() {
    let app = books().await;
    let clean = app.verify().await;
    assert!(clean.is_clean(), "{clean}");
    let set = "UPDATE risk_rule_sets SET text =";
    let looser = at_most(9, "1h").replace('\'', "''");
    let damage: Vec<(String, &str)> = vec![
        // The decision.
        (
            instead(&app, |d| d.action = Action::Allow).await,
            "says allow for",
        ),
        (
            instead(&app, |d| d.action = Action::Review).await,
            "says review for",
        ),
        (
            instead(&app, |d| d.measured.0[0] = Some(1)).await,
            "says allow for []",
        ),
        (
            instead(&app, |d| d.measured.0.clear()).await,
            "says review for",
        ),
        (
            instead(&app, |d| d.fired.clear()).await,
            "says block for []",
        ),
        (
            instead(&app, |d| d.fired[0].rule.push('x')).await,
            "many-paymentsx",
        ),
        (
            instead(&app, |d| d.fired[0].action = Action::Verify).await,
            "Verify, Live",
        ),
        (
            instead(&app, |d| d.fired[0].effect = Effect::Shadow).await,
            "Block, Shadow",
        ),
        (
            instead(&app, |d| d.rule_set = 77).await,
            "was made by rule set 77, which does not exist",
        ),
        (
            "UPDATE risk_decisions SET decision = CONCAT(x'02', SUBSTR(decision, 2)) LIMIT 1"
                .into(),
            "cannot be read",
        ),
        // Its rules.
        ("DELETE FROM risk_rule_sets".into(), "which does not exist"),
        (format!("{set} CONCAT(text, '\\n')"), "changed afterwards"),
        (
            format!("{set} 'x', hash = UNHEX(SHA2('x', 256))"),
            "can no longer be read",
        ),
        (
            format!("{set} '{looser}', hash = UNHEX(SHA2('{looser}', 256))"),
            "says allow for []",
        ),
    ];
    let mut copy = Copy::of(&app).await;
    for (statement, says) in damage {
        copy.finds(Invariant::DecisionsAreReproducible, &statement, says)
            .await;
    }
    // How a reason is worded may change.
    let worded = instead(&app, |d| d.fired[0].reason = "other words".into()).await;
    let report = copy.after(&worded).await;
    assert!(report.is_clean(), "{report}");
    copy.drop().await;
    app.finish().await;
}
