-- One row per committed batch: outbox (the events, packed) and seal (SHA-256 over the seal before it, the events and the transfers) in one.
CREATE TABLE commits (
  committer INT UNSIGNED NOT NULL,
  seq BIGINT NOT NULL COMMENT '1, 2, .. without gaps',
  committed_at DATETIME(6) NOT NULL,
  events MEDIUMBLOB NOT NULL,
  seal BINARY(32) NOT NULL,
  PRIMARY KEY (committer, seq)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
