-- A clock that is ahead must not take days from customers: what was counted before the days that follow without a gap is kept, so that a day may be gone back to.
-- earned_from is the first of the days that earned_on ends; NULL for what was counted before this, where nothing is gone back to.
ALTER TABLE accounts
  ADD COLUMN earned_from DATE NULL,
  ADD COLUMN earned_before_on DATE NULL COMMENT 'the day counted before the gap',
  ADD COLUMN earned_before BIGINT NOT NULL DEFAULT 0
