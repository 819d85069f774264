-- Accounts: four sums that only grow; a balance is derived. The last byte of the id is the kind of account, the rest its owner.
-- earned_on and earned_points count what a customer earned that business day, for the daily cap: the row is rewritten anyway.
CREATE TABLE accounts (
  id BINARY(16) NOT NULL PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  debits_posted BIGINT NOT NULL,
  credits_posted BIGINT NOT NULL,
  debits_pending BIGINT NOT NULL,
  credits_pending BIGINT NOT NULL,
  version INT UNSIGNED NOT NULL COMMENT 'checked accounts: transfers so far, without gaps',
  earned_on DATE NULL,
  earned_points BIGINT NOT NULL DEFAULT 0,
  CONSTRAINT accounts_sums CHECK (debits_posted >= 0 AND credits_posted >= 0),
  CONSTRAINT accounts_not_below_zero CHECK (SUBSTR(id, 16, 1) <> x'01' OR (credits_posted >= debits_posted + debits_pending AND debits_pending >= 0 AND credits_pending >= 0))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
