-- What a payment earns. Versioned: a version is never changed, since orders name the one that they were credited by.
CREATE TABLE points_rules (
  tenant_id INT UNSIGNED NOT NULL,
  version INT UNSIGNED NOT NULL,
  ratio DECIMAL(12,4) NOT NULL COMMENT 'points per yuan, rounded down',
  amount_min_fen BIGINT NOT NULL COMMENT 'a smaller payment earns nothing',
  amount_max_fen BIGINT NULL COMMENT 'of a larger payment only this much earns',
  daily_cap BIGINT NULL COMMENT 'points per customer and business day (UTC+8)',
  total_cap BIGINT NULL COMMENT 'points that this version hands out in all',
  expiry_days INT UNSIGNED NULL COMMENT 'whole days that points last; NULL: for ever',
  created_at DATETIME(6) NOT NULL,
  created_by VARCHAR(64) NOT NULL,
  PRIMARY KEY (tenant_id, version),
  CONSTRAINT points_rules_sane CHECK (ratio >= 0 AND amount_min_fen >= 0 AND (amount_max_fen IS NULL OR amount_max_fen >= amount_min_fen)
    AND (daily_cap IS NULL OR daily_cap >= 0) AND (total_cap IS NULL OR total_cap >= 0))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
