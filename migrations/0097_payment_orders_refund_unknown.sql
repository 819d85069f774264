-- Refunds that others made count on the order as ours do. They have happened: a refund of ours that was on its way when WeChat made another cannot arrive any more, but
-- is on the table until WeChat has said so, so for a while more may be asked back than was paid, and never twice as much. What arrived is never more.
ALTER TABLE payment_orders
  ADD COLUMN refund_unknown TINYINT NOT NULL DEFAULT 0 COMMENT 'WeChat says that something was refunded elsewhere, and not how much: nothing more is refunded before somebody has looked',
  DROP CONSTRAINT payment_orders_refunds,
  DROP CONSTRAINT payment_orders_refund_points,
  DROP CONSTRAINT payment_orders_withheld,
  ADD CONSTRAINT payment_orders_refunds CHECK (refund_done_fen >= 0 AND refund_done_fen <= refund_asked_fen AND refund_done_fen <= amount_fen AND refund_asked_fen <= 2 * amount_fen),
  ADD CONSTRAINT payment_orders_refund_points CHECK (refund_points >= 0 AND refund_points <= 2 * COALESCE(points, 0)),
  ADD CONSTRAINT payment_orders_withheld CHECK (refund_withheld >= 0 AND refund_withheld <= refund_points)
