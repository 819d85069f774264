-- Commits that the relay could not project and went past: what of them is missing in histories,
-- totals and messages. Deleted once they are projected.
-- Key: the relay and the commit.
--
-- owner: jobs
-- rights: select, insert, update, delete
CREATE TABLE relay_parked (
  relay VARCHAR(32) NOT NULL,
  committer INT UNSIGNED NOT NULL,
  seq BIGINT NOT NULL,
  reason VARCHAR(255) NOT NULL COMMENT 'of the last attempt',
  attempts INT UNSIGNED NOT NULL,
  parked_at DATETIME(6) NOT NULL,
  next_attempt_at DATETIME(6) NOT NULL,
  PRIMARY KEY (relay, committer, seq)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
