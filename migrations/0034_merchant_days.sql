-- A merchant's totals of each business day (UTC+8). Projected from the commits by the relay.
-- Key: the merchant and the day.
--
-- owner: payments
-- rights: select, insert, update
CREATE TABLE merchant_days (
  merchant_id BINARY(16) NOT NULL,
  day DATE NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  orders BIGINT NOT NULL,
  paid_fen BIGINT NOT NULL,
  points BIGINT NOT NULL,
  refunds BIGINT NOT NULL,
  refunded_fen BIGINT NOT NULL,
  points_back BIGINT NOT NULL,
  PRIMARY KEY (merchant_id, day)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
