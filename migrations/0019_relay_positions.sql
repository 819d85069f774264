-- How far a relay has read each committer's sequence. Moves in the transaction that writes what was read.
CREATE TABLE relay_positions (
  relay VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  committer INT UNSIGNED NOT NULL,
  seq BIGINT NOT NULL,
  PRIMARY KEY (relay, committer)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
