//! Coupons 代金券: somebody else pays some of an order.
//!
//! The order's amount stays what it was asked for; the user pays less. A coupon that its giver paid
//! for beforehand (预充值, `CASH`) brings the merchant the whole amount all the same; one that the
//! merchant gives itself (免充值, `NOCASH`) brings it that much less: then what is settled
//! 应结订单金额 is less than the order. A refund is divided between user and coupon as the payment
//! was.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Who pays for a coupon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CouponKind {
    /// Its giver, beforehand: the merchant gets the whole amount.
    #[default]
    Cash,
    /// The merchant, by getting less.
    NoCash,
}

/// A coupon that paid some of an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coupon {
    /// How much it paid, in fen: less than the order.
    pub amount_fen: i64,
    /// Who pays for it.
    #[serde(default)]
    pub kind: CouponKind,
    /// WeChat's number for it.
    #[serde(default = "some_number")]
    pub coupon_id: String,
}

fn some_number() -> String {
    "109519".to_owned()
}

impl Coupon {
    /// A coupon over so many fen that its giver has paid for.
    pub fn cash(amount_fen: i64) -> Self {
        Self {
            amount_fen,
            kind: CouponKind::Cash,
            coupon_id: some_number(),
        }
    }

    /// A coupon whose cost the merchant bears: the merchant gets less.
    pub fn no_cash(amount_fen: i64) -> Self {
        Self {
            kind: CouponKind::NoCash,
            ..Self::cash(amount_fen)
        }
    }

    /// How much less than the order the merchant gets, in fen.
    pub(super) fn borne_by_merchant_fen(&self) -> i64 {
        match self.kind {
            CouponKind::Cash => 0,
            CouponKind::NoCash => self.amount_fen,
        }
    }

    /// The coupon's part of `fen` of an order of `total_fen`, rounded down.
    pub(super) fn part_fen(&self, fen: i64, total_fen: i64) -> i64 {
        let exact = i128::from(self.amount_fen) * i128::from(fen) / i128::from(total_fen.max(1));
        i64::try_from(exact).unwrap_or(self.amount_fen)
    }

    fn word(&self) -> &'static str {
        match self.kind {
            CouponKind::Cash => "CASH",
            CouponKind::NoCash => "NOCASH",
        }
    }

    /// `promotion_detail` of a payment.
    pub(super) fn promotion(&self) -> Value {
        let (wechat_fen, merchant_fen) = match self.kind {
            CouponKind::Cash => (self.amount_fen, 0),
            CouponKind::NoCash => (0, self.amount_fen),
        };
        json!([{
            "coupon_id": self.coupon_id, "name": "满减代金券", "scope": "GLOBAL",
            "type": self.word(), "amount": self.amount_fen, "stock_id": "931386",
            "wechatpay_contribute": wechat_fen, "merchant_contribute": merchant_fen,
            "other_contribute": 0, "currency": "CNY", "goods_detail": [],
        }])
    }

    /// `promotion_detail` of a refund that gives back `discount_fen` of it.
    pub(super) fn promotion_of_refund(&self, discount_fen: i64) -> Value {
        json!([{
            "promotion_id": self.coupon_id, "scope": "GLOBAL", "type": self.word(),
            "amount": self.amount_fen, "refund_amount": discount_fen, "goods_detail": [],
        }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_refund_give_back_the_whole_coupon_and_no_more() {
        let coupon = Coupon::cash(100);
        let parts = [333, 666, 999].map(|fen| coupon.part_fen(fen, 999));
        assert_eq!(parts, [33, 66, 100]);
        assert_eq!(coupon.borne_by_merchant_fen(), 0);
        assert_eq!(Coupon::no_cash(100).borne_by_merchant_fen(), 100);
    }
}
