-- The sharing of one payment. Written by batches; version guards the row, its parts and its
-- returns.
-- next_attempt_at is when a job looks at it again; moving it is how the job claims it, and does not
-- change the version. What is not done has such a time, and nothing else has.
-- A call to WeChat is written down before it is made. While one of unknown outcome may still be
-- taken, no refusal of another and no query proves that nothing was shared.
-- Key: an id in time order; the number towards WeChat (out_order_no) is the id in base 32: the same
-- for every attempt, for ever. A release that follows a refused share has a number of its own. An
-- order is shared once.
--
-- owner: sharing
-- rights: select, insert, update
CREATE TABLE sharings (
  id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  order_id BINARY(16) NOT NULL,
  merchant_id BINARY(16) NOT NULL,
  rule_version INT UNSIGNED NULL COMMENT 'none: no rule was in force, all is released',
  state TINYINT NOT NULL COMMENT '1 asked, 2 processing, 3 releasing, 4 done',
  version INT UNSIGNED NOT NULL,
  base_fen BIGINT NOT NULL COMMENT 'the payment less what was asked back before',
  asked_before_fen BIGINT NOT NULL COMMENT 'asked back before the sharing began',
  release_id BINARY(16) NULL COMMENT 'the number of the release, where one is needed',
  wechat_order_id VARCHAR(64) NULL,
  refund_id BINARY(16) NULL COMMENT 'the refund for which shares are coming back now',
  attempts INT UNSIGNED NOT NULL,
  calls INT UNSIGNED NOT NULL COMMENT 'calls that were begun',
  may_arrive_until DATETIME(6) NULL COMMENT 'until when one of unknown outcome may still be taken',
  unsure TINYINT NOT NULL COMMENT 'an attempt ended without an answer: WeChat may have it',
  problem VARCHAR(80) NULL COMMENT 'why it is not further',
  stopped TINYINT NOT NULL COMMENT '1: WeChat says it shared what we called refused; no refund of the order goes on until a person has looked',
  next_attempt_at DATETIME(6) NULL,
  PRIMARY KEY (id),
  UNIQUE KEY sharings_order (order_id),
  KEY sharings_tenant (tenant_id, id),
  KEY sharings_due (next_attempt_at),
  CONSTRAINT sharings_amounts CHECK (base_fen >= 0 AND asked_before_fen >= 0),
  CONSTRAINT sharings_next CHECK ((state <> 4) = (next_attempt_at IS NOT NULL))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
