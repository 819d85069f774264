-- How points moved on each business day (UTC+8), by source and version of the rule, for statistics.
-- Projected from the commits by the relay.
-- Key: what is summed up by.
--
-- owner: points
-- rights: select, insert, update
CREATE TABLE points_days (
  tenant_id INT UNSIGNED NOT NULL,
  day DATE NOT NULL,
  source VARCHAR(32) NOT NULL COMMENT 'payment, expiry, or what a back end calls itself',
  rule_version INT UNSIGNED NOT NULL COMMENT '0: no rule said how many',
  what TINYINT NOT NULL COMMENT '1 earned, 2 awarded, 3 taken back, 4 deducted, 5 redeemed, 6 expired, 7 held, 8 voided, 9 returned, 9 returned',
  points BIGINT NOT NULL,
  times BIGINT NOT NULL COMMENT 'how often',
  PRIMARY KEY (tenant_id, day, source, rule_version, what)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
