-- What risk decided, with everything that went into it. Written in the batch of what it is about;
-- never changed.
-- The program cuts reasons so that a decision fits into its column even if all rules fire.
-- Key: the id of what is judged (order, refund, ..) with the stage as its last byte. "Why was this
-- customer stopped?" is asked most, and has an index of its own.
--
-- owner: risk
-- rights: select, insert
CREATE TABLE risk_decisions (
  id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  customer_id BINARY(16) NULL,
  merchant_id BINARY(16) NULL,
  stage TINYINT NOT NULL COMMENT '1 login, 2 payment.create, 3 points.credit, 4 redeem, 5 refund',
  action TINYINT NOT NULL COMMENT '0 allow, 1 verify, 2 review, 3 block',
  shadow TINYINT NOT NULL COMMENT 'the most that rules in shadow would have done',
  rule_set INT UNSIGNED NOT NULL COMMENT 'a number of risk_rule_sets',
  amount_fen BIGINT NULL,
  points BIGINT NULL,
  decision VARBINARY(16000) NOT NULL COMMENT 'a byte for the format, then postcard: facts, counter values, every rule that fired',
  decided_at DATETIME(6) NOT NULL,
  PRIMARY KEY (id),
  KEY risk_decisions_at (decided_at),
  KEY risk_decisions_customer (customer_id, decided_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
