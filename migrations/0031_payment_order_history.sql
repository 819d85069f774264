-- Every state that an order was in, who moved it and why. Projected from the commits by the relay,
-- never changed.
-- Key: the order and its version, so that rows of several committers may arrive in any order.
--
-- owner: payments
-- rights: select, insert
CREATE TABLE payment_order_history (
  order_id BINARY(16) NOT NULL,
  version INT UNSIGNED NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  state TINYINT NOT NULL COMMENT 'as in payment_orders',
  why TINYINT NOT NULL COMMENT '1 customer, 2 merchant, 3 prepay, 4 callback, 5 query, 6 expiry, 7 closed at WeChat, 8 operator, 9 refund arrived, 10 late: refunded, 11 late: reopened, 12 refund asked, 13 refund dropped, 14 sharing, 15 reviewed, 16 merchant suspended, 20 refunded elsewhere',
  actor VARCHAR(80) NULL COMMENT 'when a person did it',
  at DATETIME(6) NOT NULL,
  PRIMARY KEY (order_id, version)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
