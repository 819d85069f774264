//! Who changed what, and two who change at once.

use serde_json::{Value, json};

use super::{RULE, VERSIONS, id_of, rule_of};
use crate::harness::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn history_says_who_changed_what() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000502").await;
    let id = id_of(&merchant).await;
    let (lin, mo) = (app.operator("lin"), app.operator("mo"));
    lin.put(RULE, &json!({ "ratio": "2", "daily_cap": 100 }))
        .await
        .expect(200);
    mo.put(&rule_of(&id), &json!({ "ratio": "5" }))
        .await
        .expect(200);
    lin.put(RULE, &json!({ "ratio": "2", "daily_cap": 300 }))
        .await
        .expect(200);
    mo.delete(&rule_of(&id)).await.expect(200);

    let page = mo.get(&format!("{VERSIONS}?limit=3")).await.expect(200);
    let items = page["items"].as_array().unwrap();
    let versions: Vec<_> = items
        .iter()
        .map(|item| item["version"].as_i64().unwrap())
        .collect();
    assert_eq!(versions, [5, 4, 3]);
    assert_eq!(
        (
            &items[0]["of"],
            &items[0]["terms"],
            &items[0]["version_before"]
        ),
        (&json!("merchant"), &Value::Null, &json!(3))
    );
    assert_eq!(items[0]["standing"], "in_force");
    assert!(
        items[0]["changes"]
            .as_array()
            .unwrap()
            .contains(&json!({ "field": "ratio", "before": "5", "after": null }))
    );
    assert_eq!(
        items[1]["changes"],
        json!([{ "field": "daily_cap", "before": 100, "after": 300 }])
    );
    assert_eq!(
        (&items[1]["created_by"], &items[1]["version_before"]),
        (&json!("operator:lin"), &json!(2))
    );
    assert_eq!(
        (&items[2]["created_by"], &items[2]["standing"]),
        (&json!("operator:mo"), &json!("replaced"))
    );
    assert_eq!(items[2]["version_before"], Value::Null);
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = mo
        .get(&format!("{VERSIONS}?limit=3&cursor={cursor}"))
        .await
        .expect(200);
    let rest_items = rest["items"].as_array().unwrap();
    assert_eq!((rest_items.len(), &rest["next_cursor"]), (2, &Value::Null));
    assert_eq!(rest_items[1]["created_by"], "system");

    let own = mo
        .get(&format!("{VERSIONS}?merchant_id={id}"))
        .await
        .expect(200);
    assert_eq!(own["items"].as_array().unwrap().len(), 2);
    let tenant = mo
        .get(&format!("{VERSIONS}?tenant_only=true"))
        .await
        .expect(200);
    assert_eq!(tenant["items"].as_array().unwrap().len(), 3);
    for (query, status, code) in [
        (
            format!("merchant_id={id}&tenant_only=true"),
            422,
            "field_invalid",
        ),
        ("cursor=x".into(), 400, "cursor_invalid"),
        ("cursor=-1".into(), 400, "cursor_invalid"),
        (
            "merchant_id=cu_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00".into(),
            422,
            "field_invalid",
        ),
        ("limit=0".into(), 422, "field_invalid"),
    ] {
        mo.get(&format!("{VERSIONS}?{query}"))
            .await
            .refused(status, code);
    }
    let nobody = app.customer("li").await;
    nobody.get(VERSIONS).await.refused(403, "forbidden");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_at_once_get_a_version_each_and_the_last_one_holds() {
    let app = TestApp::start().await;
    let putting = (0..8).map(|index| {
        let admin = app.operator(&format!("admin-{index}"));
        async move {
            let set = admin
                .put(RULE, &json!({ "ratio": index.to_string() }))
                .await
                .expect(200);
            (
                set["version"].as_i64().unwrap(),
                set["ratio"].as_str().unwrap().to_owned(),
            )
        }
    });
    let mut set = futures_util::future::join_all(putting).await;
    set.sort();
    let versions: Vec<_> = set.iter().map(|(version, _)| *version).collect();
    assert_eq!(versions, (2..10).collect::<Vec<_>>());
    let now = app.admin().get(RULE).await.expect(200);
    assert_eq!(
        (
            now["version"].as_i64().unwrap(),
            now["ratio"].as_str().unwrap().to_owned()
        ),
        set[7]
    );
    app.finish().await;
}
