-- Of the points of an order that were held for a review: how many go back with refunds that set out before it was decided. The review lets in the others.
ALTER TABLE payment_orders
  ADD COLUMN refund_withheld BIGINT NOT NULL DEFAULT 0 COMMENT 'points under review that go back with refunds and are not for the review to let in',
  ADD CONSTRAINT payment_orders_withheld CHECK (refund_withheld >= 0 AND refund_withheld <= COALESCE(points, 0))
