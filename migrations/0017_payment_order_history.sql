-- Every state that an order was in, projected from the commits. The version is the order's, so the committers' rows may arrive in any order.
CREATE TABLE payment_order_history (
  order_id BINARY(16) NOT NULL,
  version INT UNSIGNED NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  state TINYINT NOT NULL COMMENT 'as in payment_orders',
  at DATETIME(6) NOT NULL,
  PRIMARY KEY (order_id, version)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
