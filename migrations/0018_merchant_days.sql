-- A shop's totals per business day (UTC+8), projected from the commits.
CREATE TABLE merchant_days (
  merchant_id BINARY(16) NOT NULL,
  day DATE NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  orders BIGINT NOT NULL,
  paid_fen BIGINT NOT NULL,
  points BIGINT NOT NULL,
  PRIMARY KEY (merchant_id, day)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
