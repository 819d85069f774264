//! Coupons 代金券: the customer pays less than the order, and the order is what counts.

use serde_json::{Value, json};
use wechat_pay_simulator::{Coupon, Faults, Payment};

use crate::{
    harness::{TestApp, eventually},
    refunds::text,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_paid_with_a_coupon_counts_whole_for_merchant_and_points_and_goes_back_whole() {
    let app = TestApp::start().await;
    app.simulator.set_faults(Faults {
        refunds_at_once: true,
        refund_delay_ms: 0,
        ..Faults::default()
    });
    let merchant = app.merchant("茶里巷", "1900000109").await;
    let li = app.customer("li").await;
    // One by callback, one that only a query tells of; one coupon of WeChat's, one of the
    // merchant's.
    for (key, how) in [
        ("k1", Payment::clean().with_coupon(Coupon::cash(300))),
        ("k2", Payment::silent().with_coupon(Coupon::no_cash(300))),
    ] {
        let order_no = app.create(&li, &merchant.code, 1_000, key).await;
        app.simulator.pay(&order_no, how).await.unwrap();
        if key == "k2" {
            let path = format!("/api/v1/customer/payments/{order_no}/confirm");
            li.post(&path, &json!({})).await.expect(200);
        }
        let order = app.settled(&li, &order_no).await;
        assert_eq!(order["amount_fen"], 1_000);
        assert_eq!(order["points_earned"], 10);
        // In two pieces, so that the coupon is divided.
        for (index, fen) in [334, 666].into_iter().enumerate() {
            let path = format!("/api/v1/merchant/payments/{order_no}/refunds");
            let body = json!({ "amount_fen": fen, "reason": "不想要了" });
            let asked = merchant.owner.keyed(&format!("{key}-{index}"));
            let refund = asked.post(&path, &body).await.expect(201);
            let path = format!("/api/v1/merchant/refunds/{}", text(&refund, "refund_no"));
            let arrived: Value = eventually("the refund arrives", || async {
                let refund = merchant.owner.get(&path).await.expect(200);
                (refund["state"] == "succeeded").then_some(refund)
            })
            .await;
            assert_eq!(arrived["amount_fen"], fen);
        }
    }
    let points = li.get("/api/v1/customer/points").await.expect(200);
    assert_eq!(points["posted"], 0);
    // The user got what the user had paid, and no more.
    let refunds = app.simulator.refunds();
    let discounts: i64 = refunds.iter().map(|refund| refund.discount_fen).sum();
    assert_eq!((refunds.len(), discounts), (4, 600));
    assert_eq!(app.simulator.balance_fen("1900000109"), 0);
    app.finish().await;
}
