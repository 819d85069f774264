-- The whole life of an order: how it is paid, refunds counted on the row whose version guards them, late payments, who settled it.
-- Orders by Native (the shop shows a picture) have no collection code, and no customer until they are paid.
ALTER TABLE payment_orders
  MODIFY customer_id BINARY(16) NULL,
  MODIFY code CHAR(12) CHARACTER SET ascii COLLATE ascii_bin NULL,
  MODIFY prepay_id VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NULL,
  MODIFY state TINYINT NOT NULL COMMENT '1 created, 2 prepaid, 3 paid, 4 closed, 5 partly refunded, 6 refunded, 7 expired',
  ADD COLUMN method TINYINT NOT NULL DEFAULT 1 COMMENT '1 inside the mini-program, 2 native',
  ADD COLUMN description VARCHAR(127) NOT NULL DEFAULT '',
  ADD COLUMN sharing TINYINT NOT NULL DEFAULT 0 COMMENT '0 no, 1 to be shared, 2 being shared, 3 shared',
  ADD COLUMN prepaid_at DATETIME(6) NULL,
  ADD COLUMN settled_by BINARY(16) NULL COMMENT 'the callback; none: a query',
  ADD COLUMN late TINYINT NOT NULL DEFAULT 0 COMMENT 'paid after it was given up: 1 refunded, earns nothing; 2 reopened',
  ADD COLUMN points_expire_on DATE NULL COMMENT 'the lot of the points',
  ADD COLUMN refund_asked_fen BIGINT NOT NULL DEFAULT 0 COMMENT 'by every refund that is not off the table',
  ADD COLUMN refund_done_fen BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN refund_points BIGINT NOT NULL DEFAULT 0 COMMENT 'to be given back for what was asked',
  ADD COLUMN refund_count SMALLINT NOT NULL DEFAULT 0,
  DROP CONSTRAINT payment_orders_paid,
  DROP CONSTRAINT payment_orders_closed,
  ADD CONSTRAINT payment_orders_paid CHECK ((state IN (3, 5, 6)) = (wechat_transaction_id IS NOT NULL AND paid_at IS NOT NULL AND points IS NOT NULL AND rule_version IS NOT NULL)),
  ADD CONSTRAINT payment_orders_closed CHECK ((state IN (4, 7)) = (closed_at IS NOT NULL)),
  ADD CONSTRAINT payment_orders_refunds CHECK (refund_done_fen >= 0 AND refund_done_fen <= refund_asked_fen AND refund_asked_fen <= amount_fen),
  ADD CONSTRAINT payment_orders_refund_points CHECK (refund_points >= 0 AND refund_points <= COALESCE(points, 0))
