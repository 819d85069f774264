-- A refund that WeChat does not take can be withdrawn. calls and called_at are written before each call, and guard a withdrawal against one that is under way;
-- since is when the refund came into its state, so that one that waits too long can be told; stuck says that an exception tells of it.
-- withdraw_by and withdraw_why: one person asked for the withdrawal of a large refund, and a second has not agreed yet. NULL or 0 is right for what was there before.
ALTER TABLE refunds
  ADD COLUMN calls INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'times that WeChat was about to be told',
  ADD COLUMN called_at DATETIME(6) NULL COMMENT 'the last of them',
  ADD COLUMN since DATETIME(6) NULL COMMENT 'when it came into its state',
  ADD COLUMN stuck TINYINT NOT NULL DEFAULT 0 COMMENT 'an exception refund_stuck tells of it',
  ADD COLUMN withdraw_by VARCHAR(80) NULL,
  ADD COLUMN withdraw_why VARCHAR(80) NULL,
  MODIFY COLUMN state TINYINT NOT NULL COMMENT '1 awaiting approval, 2 rejected, 3 returning shares, 4 accepted, 5 processing, 6 succeeded, 7 abnormal, 8 closed, 9 failed, 10 withdrawn'
