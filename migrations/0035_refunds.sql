-- Money going back. Written by batches; version guards the row.
-- next_attempt_at is when a job looks at it again; moving it is how the job claims it, and does not
-- change the version. What is under way has such a time, and nothing else has, except that a
-- withdrawn refund has one for as long as shares that were on their way back for it are still
-- coming.
-- calls and called_at are written before each call to WeChat, and guard a withdrawal against one
-- that is under way. calling_until is until when somebody who has taken the refund may be telling
-- WeChat of it:
-- nobody else tells or asks meanwhile. since tells which refund waits too long in its state.
-- withdraw_by and withdraw_why: one person asked for the withdrawal of a large refund, and a second
-- has not agreed yet.
-- Not all points that go back are taken from the customer: what expired unspent of the payment's
-- lot counts as given back, and what was under review when the refund began was never credited.
-- Somebody else may refund at WeChat what was paid here, and WeChat may have made a refund of ours
-- that the books had closed. Such a refund has a row like any other, with the number that WeChat
-- knows.
-- Key: an id in time order; the refund's number towards WeChat (out_refund_no) is the id in base
-- 32: the same for every attempt, for ever.
--
-- owner: payments
-- rights: select, insert, update
CREATE TABLE refunds (
  id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  order_id BINARY(16) NOT NULL,
  merchant_id BINARY(16) NOT NULL,
  origin TINYINT NOT NULL COMMENT '0 asked for here, 1 made elsewhere, 2 asked for here, ended here, and made by WeChat after all',
  foreign_no VARCHAR(64) NULL COMMENT 'out_refund_no of what was not asked for under the number of this row',
  late TINYINT NOT NULL COMMENT '1: made because the order was paid after it had been closed',
  state TINYINT NOT NULL COMMENT '1 awaiting approval, 2 rejected, 3 returning shares, 4 accepted, 5 processing, 6 succeeded, 7 abnormal, 8 closed, 9 failed, 10 withdrawn',
  since DATETIME(6) NOT NULL COMMENT 'when it came into its state',
  version INT UNSIGNED NOT NULL,
  amount_fen BIGINT NOT NULL,
  points_due BIGINT NOT NULL COMMENT 'points to be given back',
  clawback_shortfall BIGINT NOT NULL COMMENT 'of these, missing because the customer had spent them: now owed',
  points_expired BIGINT NOT NULL COMMENT 'of those due: expired unspent before, and count as given back',
  points_withheld BIGINT NOT NULL COMMENT 'of those due: under review when the refund began, and never credited',
  reason VARCHAR(80) NOT NULL,
  requested_by VARCHAR(80) NOT NULL,
  approved_by VARCHAR(80) NULL,
  withdraw_by VARCHAR(80) NULL,
  withdraw_why VARCHAR(80) NULL,
  wechat_refund_id VARCHAR(32) NULL,
  received_account VARCHAR(64) NULL COMMENT 'where the money went, in the words of WeChat',
  finished_at DATETIME(6) NULL,
  attempts INT UNSIGNED NOT NULL,
  calls INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'times that WeChat was about to be told',
  called_at DATETIME(6) NULL COMMENT 'the last of them',
  calling_until DATETIME(6) NULL,
  unsure TINYINT NOT NULL COMMENT 'an attempt ended without an answer: WeChat may have the refund',
  problem VARCHAR(80) NULL COMMENT 'why it is not further',
  problem_detail VARCHAR(200) NULL COMMENT 'WeChat''s code, or what of its answer was not understood',
  stuck TINYINT NOT NULL COMMENT 'an exception refund_stuck tells of it',
  next_attempt_at DATETIME(6) NULL,
  PRIMARY KEY (id),
  UNIQUE KEY refunds_wechat (wechat_refund_id),
  KEY refunds_order (order_id),
  KEY refunds_merchant (merchant_id),
  KEY refunds_tenant (tenant_id, id),
  KEY refunds_due (next_attempt_at),
  CONSTRAINT refunds_amount CHECK (amount_fen > 0),
  CONSTRAINT refunds_points CHECK (clawback_shortfall >= 0 AND clawback_shortfall <= points_due),
  CONSTRAINT refunds_points_parts CHECK (points_expired >= 0 AND points_withheld >= 0 AND clawback_shortfall + points_expired + points_withheld <= points_due),
  CONSTRAINT refunds_finished CHECK ((state = 6) = (finished_at IS NOT NULL)),
  CONSTRAINT refunds_next CHECK (state = 10 OR (state IN (3, 4, 5, 7)) = (next_attempt_at IS NOT NULL)),
  CONSTRAINT refunds_origin CHECK ((origin = 0) = (foreign_no IS NULL))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
