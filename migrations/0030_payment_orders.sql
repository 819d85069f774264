-- Orders: what is to be paid, whether it was, and what was asked back of it. Written by batches;
-- version guards the row, and with it the order's refunds.
-- Orders by Native (the merchant shows a picture) have no collection code, and no customer until
-- they are paid. expires_at is the end of the time to pay.
-- Refunds that others made at WeChat count as ours do. They have happened: a refund of ours that
-- was on its way meanwhile cannot arrive any more but counts until WeChat has said so, so for a
-- while more may be asked back than was paid, and never twice as much. What arrived is never more.
-- Key: an id in time order; order_no is the id in base 32 and needs no column. A transaction of
-- WeChat pays one order.
--
-- owner: payments
-- rights: select, insert, update
CREATE TABLE payment_orders (
  id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  customer_id BINARY(16) NULL,
  merchant_id BINARY(16) NOT NULL,
  code CHAR(12) NULL COMMENT 'the collection code',
  sub_mchid VARCHAR(32) NOT NULL,
  method TINYINT NOT NULL COMMENT '1 inside the mini-program, 2 native',
  state TINYINT NOT NULL COMMENT '1 created, 2 prepaid, 3 paid, 4 closed, 5 partly refunded, 6 refunded, 7 expired',
  version INT UNSIGNED NOT NULL,
  amount_fen BIGINT NOT NULL,
  description VARCHAR(127) NOT NULL,
  expires_at DATETIME(6) NOT NULL,
  prepay_id VARCHAR(128) NULL COMMENT 'of Native: the address in the picture',
  prepaid_at DATETIME(6) NULL,
  wechat_transaction_id VARCHAR(32) NULL,
  paid_at DATETIME(6) NULL COMMENT 'by the channel',
  settled_by BINARY(16) NULL COMMENT 'the callback; none: a query',
  late TINYINT NOT NULL DEFAULT 0 COMMENT 'paid after it was closed: 1 refunded, earns nothing; 2 reopened',
  closed_at DATETIME(6) NULL,
  points BIGINT NULL COMMENT 'credited for this order',
  rule_version INT UNSIGNED NULL COMMENT 'by which version of the rule',
  points_expired_from DATE NULL COMMENT 'the lot of the points',
  review TINYINT NOT NULL COMMENT '0 no, 1 wanted when it is paid, 2 open: the points are pending, 3 credited, 4 voided',
  sharing TINYINT NOT NULL COMMENT '0 no, 1 to be shared, 2 being shared, 3 shared',
  refund_count SMALLINT NOT NULL DEFAULT 0,
  refund_asked_fen BIGINT NOT NULL DEFAULT 0 COMMENT 'by every refund that is not off the table',
  refund_done_fen BIGINT NOT NULL DEFAULT 0,
  refund_points BIGINT NOT NULL DEFAULT 0 COMMENT 'to be given back for what was asked',
  refund_withheld BIGINT NOT NULL DEFAULT 0 COMMENT 'points under review that go back with refunds and are not for the review to credit',
  refund_unknown TINYINT NOT NULL DEFAULT 0 COMMENT 'WeChat says that something was refunded elsewhere, and not how much: nothing more is refunded before somebody has looked',
  PRIMARY KEY (id),
  UNIQUE KEY payment_orders_transaction (wechat_transaction_id),
  KEY payment_orders_customer (customer_id),
  KEY payment_orders_merchant (merchant_id),
  CONSTRAINT payment_orders_amount CHECK (amount_fen > 0),
  CONSTRAINT payment_orders_version CHECK (version > 0),
  CONSTRAINT payment_orders_prepaid CHECK ((prepay_id IS NULL) = (prepaid_at IS NULL)),
  CONSTRAINT payment_orders_paid CHECK ((state IN (3, 5, 6)) = (wechat_transaction_id IS NOT NULL AND paid_at IS NOT NULL AND points IS NOT NULL AND rule_version IS NOT NULL AND points_expired_from IS NOT NULL)),
  CONSTRAINT payment_orders_closed CHECK ((state IN (4, 7)) = (closed_at IS NOT NULL)),
  CONSTRAINT payment_orders_refunds CHECK (refund_done_fen >= 0 AND refund_done_fen <= refund_asked_fen AND refund_done_fen <= amount_fen AND refund_asked_fen <= 2 * amount_fen),
  CONSTRAINT payment_orders_refund_points CHECK (refund_points >= 0 AND refund_points <= 2 * COALESCE(points, 0)),
  CONSTRAINT payment_orders_withheld CHECK (refund_withheld >= 0 AND refund_withheld <= refund_points)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
