-- What is to be told to others after a payment. The id is the order's or the refund's with the kind as its last byte, so planning twice is one row.
-- Only a pending one has a time at which it is due; the index on it therefore holds few rows however many there were.
CREATE TABLE deliveries (
  id BINARY(16) NOT NULL PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  kind VARCHAR(16) NOT NULL COMMENT 'shipping_info, payment_message, refund_message',
  order_id BINARY(16) NOT NULL,
  refund_id BINARY(16) NULL,
  amount_fen BIGINT NOT NULL COMMENT 'paid or refunded',
  happened_at DATETIME(6) NOT NULL COMMENT 'paid or refunded, by the channel',
  state VARCHAR(16) NOT NULL COMMENT 'pending, delivered, dropped, parked',
  attempts INT UNSIGNED NOT NULL COMMENT 'begun, since it was planned or retried by hand',
  next_attempt_at DATETIME(6) NULL COMMENT 'while one is under way: when it counts as lost',
  last_error VARCHAR(200) NULL COMMENT 'no personal data',
  created_at DATETIME(6) NOT NULL,
  updated_at DATETIME(6) NOT NULL,
  KEY deliveries_due (next_attempt_at),
  KEY deliveries_tenant (tenant_id, id),
  KEY deliveries_state (tenant_id, state, id),
  CONSTRAINT deliveries_amount CHECK (amount_fen > 0),
  CONSTRAINT deliveries_pending CHECK ((state = 'pending') = (next_attempt_at IS NOT NULL)),
  CONSTRAINT deliveries_refund CHECK ((kind = 'refund_message') = (refund_id IS NOT NULL))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
