-- What is to be told to others after a payment, or before points expire. Planned by the relay and
-- by the nightly expiry, moved on by a job that claims what is due.
-- A notice of points that expire soon is about a customer and a day, everything else about an
-- order.
-- Only a pending one has a time at which it is due: the index on it holds few rows however many
-- there were.
-- Key: the id of the order, the refund or the customer's day with the kind as its last byte, so
-- that planning twice is one row.
--
-- owner: deliveries
-- rights: select, insert, update
CREATE TABLE deliveries (
  id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  kind VARCHAR(16) NOT NULL COMMENT 'shipping_info, payment_message, refund_message, expiry_message',
  order_id BINARY(16) NULL,
  refund_id BINARY(16) NULL,
  customer_id BINARY(16) NULL COMMENT 'whose points expire',
  state VARCHAR(16) NOT NULL COMMENT 'pending, delivered, dropped, parked',
  amount_fen BIGINT NULL COMMENT 'paid or refunded',
  points BIGINT NULL COMMENT 'left when the notice was planned',
  expired_from DATE NULL COMMENT 'first day on which they can no longer be used (UTC+8)',
  happened_at DATETIME(6) NOT NULL COMMENT 'paid or refunded, by the channel; or when points will expire',
  attempts INT UNSIGNED NOT NULL COMMENT 'begun, since it was planned or retried by hand',
  next_attempt_at DATETIME(6) NULL COMMENT 'while one is under way: when it counts as lost',
  last_error VARCHAR(200) NULL COMMENT 'no personal data',
  created_at DATETIME(6) NOT NULL,
  updated_at DATETIME(6) NOT NULL,
  PRIMARY KEY (id),
  KEY deliveries_due (next_attempt_at),
  KEY deliveries_tenant (tenant_id, id),
  KEY deliveries_state (tenant_id, state, id),
  CONSTRAINT deliveries_amount CHECK (amount_fen > 0),
  CONSTRAINT deliveries_pending CHECK ((state = 'pending') = (next_attempt_at IS NOT NULL)),
  CONSTRAINT deliveries_refund CHECK ((kind = 'refund_message') = (refund_id IS NOT NULL)),
  CONSTRAINT deliveries_order CHECK ((kind = 'expiry_message') = (order_id IS NULL) AND (order_id IS NULL) = (amount_fen IS NULL)),
  CONSTRAINT deliveries_expiry CHECK ((order_id IS NULL) = (customer_id IS NOT NULL AND expired_from IS NOT NULL AND points IS NOT NULL))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
