-- The sharing of one payment. Its number towards WeChat (out_order_no) is the id in base 32: the same for every attempt, for ever; a release that follows a
-- refused share has a number of its own. version guards the row, its parts and its returns. next_attempt_at is when a job looks at it again; moving it is how the
-- job claims it, and does not change the version.
CREATE TABLE sharings (
  id BINARY(16) NOT NULL PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  order_id BINARY(16) NOT NULL,
  merchant_id BINARY(16) NOT NULL,
  rule_version INT UNSIGNED NULL COMMENT 'none: no rule was in force, all is released',
  base_fen BIGINT NOT NULL COMMENT 'the payment less what was asked back before',
  asked_before_fen BIGINT NOT NULL COMMENT 'asked back before the sharing began',
  state TINYINT NOT NULL COMMENT '1 asked, 2 processing, 3 releasing, 4 done',
  version INT UNSIGNED NOT NULL,
  release_id BINARY(16) NULL COMMENT 'the number of the release, where one is needed',
  wechat_order_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  refund_id BINARY(16) NULL COMMENT 'the refund for which shares are coming back now',
  attempts INT UNSIGNED NOT NULL,
  unsure TINYINT NOT NULL COMMENT 'an attempt ended without an answer: WeChat may have it',
  problem VARCHAR(80) NULL COMMENT 'why it is not further',
  next_attempt_at DATETIME(6) NULL,
  UNIQUE KEY sharings_order (order_id),
  KEY sharings_tenant (tenant_id, id),
  KEY sharings_due (next_attempt_at),
  CONSTRAINT sharings_amounts CHECK (base_fen >= 0 AND asked_before_fen >= 0),
  CONSTRAINT sharings_done CHECK (state <> 4 OR next_attempt_at IS NULL)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
