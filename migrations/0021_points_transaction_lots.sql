-- Of which lots a row of points_transactions took points, and how many of these were given back since: they
-- go back into the day from which they came. Written by batches, guarded by the version of that
-- row.
-- Key: that row and the day.
--
-- owner: points
-- rights: select, insert, update
CREATE TABLE points_transaction_lots (
  points_transaction_id BINARY(16) NOT NULL,
  expired_from DATE NOT NULL COMMENT 'the lot: first day on which its points can no longer be used (UTC+8)',
  tenant_id INT UNSIGNED NOT NULL,
  taken BIGINT NOT NULL COMMENT 'points',
  returned BIGINT NOT NULL COMMENT 'points',
  PRIMARY KEY (points_transaction_id, expired_from),
  CONSTRAINT points_transaction_lots_returned CHECK (taken > 0 AND returned >= 0 AND returned <= taken)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
