-- How points moved per business day (UTC+8), source and version of the rule: projected from the commits, for statistics.
CREATE TABLE point_days (
  tenant_id INT UNSIGNED NOT NULL,
  day DATE NOT NULL,
  source VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'payment, expiry, or what a back end calls itself',
  rule_version INT UNSIGNED NOT NULL COMMENT '0: no rule said how many',
  what TINYINT NOT NULL COMMENT '1 earned, 2 awarded, 3 taken back, 4 deducted, 5 redeemed, 6 expired, 7 held, 8 let go',
  points BIGINT NOT NULL,
  deeds BIGINT NOT NULL COMMENT 'how often',
  PRIMARY KEY (tenant_id, day, source, rule_version, what)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
