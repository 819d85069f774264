-- What a person should look at: it was handled by policy, or nobody can handle it. Written by
-- batches, changed when somebody resolves it.
-- Key: an id in time order.
--
-- owner: payments
-- rights: select, insert, update
CREATE TABLE payment_exceptions (
  id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  kind VARCHAR(32) NOT NULL,
  order_id BINARY(16) NULL,
  refund_id BINARY(16) NULL,
  detail VARCHAR(255) NOT NULL,
  resolution VARCHAR(255) NULL,
  resolved_by VARCHAR(80) NULL,
  resolved_at DATETIME(6) NULL,
  created_at DATETIME(6) NOT NULL,
  PRIMARY KEY (id),
  KEY payment_exceptions_tenant (tenant_id, id),
  KEY payment_exceptions_order (order_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
