-- Questions that customers answer before they go on: whether the phone is in their hand. `open_for` is the customer and, as its last byte, the stage while the
-- challenge is open, and NULL afterwards: its key lets one person have one open challenge at a stage, whoever asks at once.
CREATE TABLE risk_challenges (
  id BINARY(16) NOT NULL PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  customer_id BINARY(16) NOT NULL,
  stage TINYINT NOT NULL COMMENT '1 login, 2 payment.create',
  decision_id BINARY(16) NOT NULL COMMENT 'in risk_decisions: the first that asked for it',
  state TINYINT NOT NULL COMMENT '1 open, 2 answered, 3 expired, 4 failed',
  attempts TINYINT NOT NULL COMMENT 'answers that were somebody else''s',
  created_at DATETIME(6) NOT NULL,
  expires_at DATETIME(6) NOT NULL,
  answered_at DATETIME(6) NULL,
  open_for BINARY(17) NULL,
  UNIQUE KEY risk_challenges_open (open_for),
  KEY risk_challenges_answered (customer_id, stage, answered_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
