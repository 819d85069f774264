-- Questions that customers answer before they go on: whether the phone is in their hand. Written by
-- batches.
-- Key: an id in time order. open_for is the customer and, as its last byte, the stage while the
-- challenge is open, and NULL afterwards: its key lets one person have one open challenge at a
-- stage, whoever asks at once.
--
-- owner: risk
-- rights: select, insert, update
CREATE TABLE risk_challenges (
  id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  customer_id BINARY(16) NOT NULL,
  decision_id BINARY(16) NOT NULL COMMENT 'in risk_decisions: the first that asked for it',
  stage TINYINT NOT NULL COMMENT '1 login, 2 payment.create',
  state TINYINT NOT NULL COMMENT '1 open, 2 answered, 3 expired, 4 failed',
  attempts TINYINT NOT NULL COMMENT 'answers that were somebody else''s',
  open_for BINARY(17) NULL,
  created_at DATETIME(6) NOT NULL,
  expires_at DATETIME(6) NOT NULL,
  answered_at DATETIME(6) NULL,
  PRIMARY KEY (id),
  UNIQUE KEY risk_challenges_open (open_for),
  KEY risk_challenges_answered (customer_id, stage, answered_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
