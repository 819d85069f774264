-- What risk decided, with everything that went into it. The id is that of the deed (order, refund, ..) with the stage as its last byte.
CREATE TABLE risk_decisions (
  id BINARY(16) NOT NULL PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  stage TINYINT NOT NULL COMMENT '1 login, 2 payment.create, 3 points.credit, 4 redeem, 5 refund',
  action TINYINT NOT NULL COMMENT '0 allow, 1 verify, 2 review, 3 block',
  shadow TINYINT NOT NULL COMMENT 'the most that rules in shadow would have done',
  rule_set INT UNSIGNED NOT NULL,
  decided_at DATETIME(6) NOT NULL,
  customer_id BINARY(16) NULL,
  merchant_id BINARY(16) NULL,
  amount_fen BIGINT NULL,
  points BIGINT NULL,
  decision VARBINARY(8000) NOT NULL COMMENT 'postcard: facts, what the counters said, every rule that fired',
  KEY risk_decisions_at (decided_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
