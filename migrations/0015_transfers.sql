-- The ledger: an amount of one asset (fen or points) from a debit account to a credit account, both
-- legs in one row. Written by batches only; never changed, never deleted.
-- A transfer touches at most one account that may not go below zero; of that one it states the
-- version and the balance after it, and by it (a virtual column) a customer's records are found.
-- lot is about points: of those that reach a customer the lot that they go into, of those that
-- leave one the lot that is taken from before the others. With it every lot can be computed again
-- from the transfers alone.
-- Key: the journal entry and the leg. The entry's id is that of its cause with the kind of entry as
-- its last byte, so nothing is booked twice, and the table can be partitioned by time as it is.
--
-- owner: ledger
-- rights: select, insert
CREATE TABLE transfers (
  entry_id BINARY(16) NOT NULL,
  leg TINYINT UNSIGNED NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  phase TINYINT NOT NULL COMMENT '0 posted, 1 pending, 2 posts a pending one, 3 voids a pending one',
  debit_account BINARY(16) NOT NULL,
  credit_account BINARY(16) NOT NULL,
  amount BIGINT NOT NULL COMMENT 'fen or points',
  constrained_side TINYINT NOT NULL COMMENT '0 neither, 1 debit, 2 credit account may not go below zero',
  account_version INT UNSIGNED NULL COMMENT 'of that account, after this transfer',
  balance_after BIGINT NULL COMMENT 'posted, of that account',
  lot DATE NULL COMMENT 'first day on which the points can no longer be used (UTC+8)',
  created_at DATETIME(6) NOT NULL,
  constrained_account BINARY(16) GENERATED ALWAYS AS (CASE constrained_side WHEN 1 THEN debit_account WHEN 2 THEN credit_account ELSE NULL END) VIRTUAL,
  entry_kind TINYINT UNSIGNED GENERATED ALWAYS AS (ORD(SUBSTR(entry_id, 16, 1)) & 127) VIRTUAL COMMENT 'of the entry, the same for the one that resolves it',
  PRIMARY KEY (entry_id, leg),
  KEY transfers_constrained_account (constrained_account, account_version),
  CONSTRAINT transfers_amount CHECK (amount > 0),
  CONSTRAINT transfers_accounts CHECK (debit_account <> credit_account),
  CONSTRAINT transfers_constrained CHECK ((constrained_side = 0) = (account_version IS NULL) AND (constrained_side = 0) = (balance_after IS NULL))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
