-- Accounts of the ledger: four sums that only grow, in fen or points; a balance is derived. Written
-- by batches only.
-- version counts the transfers of a customer's points account, without gaps, and guards the row and
-- with it the account's lots and holds. Accounts that may go below zero are only added to, without
-- that check.
-- earned_on and earned_points count what a customer earned on that business day (UTC+8), for the
-- daily cap: the row is rewritten anyway. A clock that is ahead must not take days from customers,
-- so what was counted before the days that follow without a gap is kept: earned_from is the first
-- of the days that earned_on ends, earned_before what was counted on earned_before_on, the day
-- before the gap.
-- debt repeats what stands on the customer's debt account, for whoever decides about the points.
-- Key: the owner's id with the kind of account as its last byte.
--
-- owner: ledger
-- rights: select, insert, update
CREATE TABLE accounts (
  id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  debits_posted BIGINT NOT NULL,
  credits_posted BIGINT NOT NULL,
  debits_pending BIGINT NOT NULL,
  credits_pending BIGINT NOT NULL,
  version INT UNSIGNED NOT NULL COMMENT 'of a customer''s points: transfers so far, without gaps',
  debt BIGINT NOT NULL DEFAULT 0 COMMENT 'points that the customer owes',
  earned_points BIGINT NOT NULL DEFAULT 0,
  earned_on DATE NULL,
  earned_from DATE NULL,
  earned_before BIGINT NOT NULL DEFAULT 0,
  earned_before_on DATE NULL COMMENT 'the day counted before the gap',
  PRIMARY KEY (id),
  CONSTRAINT accounts_sums CHECK (debits_posted >= 0 AND credits_posted >= 0),
  CONSTRAINT accounts_earned CHECK ((earned_on IS NULL) = (earned_from IS NULL)),
  CONSTRAINT accounts_debt CHECK (debt >= 0),
  CONSTRAINT accounts_not_below_zero CHECK (SUBSTR(id, 16, 1) <> x'01' OR (credits_posted >= debits_posted + debits_pending AND debits_pending >= 0 AND credits_pending >= 0))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
