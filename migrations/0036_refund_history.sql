-- Every state that a refund was in, with who and why. Written by batches with the refund; never
-- changed.
-- Key: the refund and its version.
--
-- owner: payments
-- rights: select, insert
CREATE TABLE refund_history (
  refund_id BINARY(16) NOT NULL,
  version INT UNSIGNED NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  state TINYINT NOT NULL COMMENT 'as in refunds',
  why VARCHAR(80) NOT NULL,
  actor VARCHAR(80) NOT NULL,
  at DATETIME(6) NOT NULL,
  PRIMARY KEY (refund_id, version)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
