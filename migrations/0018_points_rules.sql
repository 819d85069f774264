-- What a payment earns: of the tenant, or of a single merchant. A version is never changed, since
-- orders name the one by which they were credited; the newest whose time has come is in force.
-- Key: the tenant and the version, counted over all of its merchants. points_rules_by_merchant is for
-- the history of one of them, newest first.
--
-- owner: points
-- rights: select, insert
CREATE TABLE points_rules (
  tenant_id INT UNSIGNED NOT NULL,
  version INT UNSIGNED NOT NULL,
  merchant_id BINARY(16) NULL COMMENT 'only this merchant; NULL: the tenant, for every merchant without one of its own',
  withdrawn TINYINT NOT NULL COMMENT '1: from here on the merchant has what the tenant has, and the terms of this row mean nothing',
  effective_from DATETIME(6) NOT NULL,
  ratio DECIMAL(12,4) NOT NULL COMMENT 'points per yuan',
  rounding VARCHAR(16) NOT NULL COMMENT 'down, half_up, up',
  amount_min_fen BIGINT NOT NULL COMMENT 'a smaller payment earns nothing',
  amount_max_fen BIGINT NULL COMMENT 'of a larger payment only this much earns',
  daily_cap BIGINT NULL COMMENT 'points per customer and business day (UTC+8)',
  total_cap BIGINT NULL COMMENT 'points that this version hands out in all',
  validity VARCHAR(16) NOT NULL COMMENT 'days, end_of_month, end_of_year, never',
  validity_count INT UNSIGNED NULL COMMENT 'how many days, months or years; NULL: never',
  created_at DATETIME(6) NOT NULL,
  created_by VARCHAR(64) NOT NULL,
  PRIMARY KEY (tenant_id, version),
  KEY points_rules_by_merchant (tenant_id, merchant_id, version),
  CONSTRAINT points_rules_sane CHECK (ratio >= 0 AND amount_min_fen >= 0 AND (amount_max_fen IS NULL OR amount_max_fen >= amount_min_fen)
    AND (daily_cap IS NULL OR daily_cap >= 0) AND (total_cap IS NULL OR total_cap >= 0)),
  CONSTRAINT points_rules_withdrawn CHECK (withdrawn = 0 OR merchant_id IS NOT NULL),
  CONSTRAINT points_rules_rounding CHECK (rounding IN ('down', 'half_up', 'up')),
  CONSTRAINT points_rules_validity CHECK ((validity = 'never' AND validity_count IS NULL)
    OR (validity IN ('days', 'end_of_month', 'end_of_year') AND validity_count IS NOT NULL))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
