-- How far a relay has read each committer's sequence. Moves in the transaction that writes what was
-- read.
-- Key: the relay and the committer.
--
-- owner: jobs
-- rights: select, insert, update
CREATE TABLE relay_positions (
  relay VARCHAR(32) NOT NULL,
  committer INT UNSIGNED NOT NULL,
  seq BIGINT NOT NULL,
  PRIMARY KEY (relay, committer)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
