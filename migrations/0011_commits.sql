-- One row for each committed batch: outbox (the events of the batch, packed) and seal (SHA-256 over
-- the seal before it, the events and the transfers) in one. Never changed, never deleted.
-- Key: the committer and its sequence, without gaps. Two processes that both believe to be one
-- committer collide on it, and a relay that remembers a number has skipped nothing.
--
-- owner: db
-- rights: select, insert
CREATE TABLE commits (
  committer INT UNSIGNED NOT NULL,
  seq BIGINT NOT NULL COMMENT '1, 2, .. without gaps',
  committed_at DATETIME(6) NOT NULL,
  events MEDIUMBLOB NOT NULL,
  seal BINARY(32) NOT NULL,
  PRIMARY KEY (committer, seq)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
