-- What of an account's points is held, by the day on which the hold began. A hold may use the lots
-- that were not over on its day, so that the days decide which points it needs. Pending transfers
-- say the same, but cannot be found by account without reading all of its transfers.
-- Written by batches, guarded by the version of the account. A row that would hold nothing is
-- deleted.
-- Key: the account and the day.
--
-- owner: ledger
-- rights: select, insert, update, delete
CREATE TABLE points_holds (
  account_id BINARY(16) NOT NULL,
  held_on DATE NOT NULL COMMENT 'day of the pending transfers (UTC+8)',
  tenant_id INT UNSIGNED NOT NULL,
  held BIGINT NOT NULL COMMENT 'points',
  PRIMARY KEY (account_id, held_on),
  CONSTRAINT points_holds_held CHECK (held > 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
