-- What a version of a points rule with a total cap has handed out.
CREATE TABLE point_budgets (
  tenant_id INT UNSIGNED NOT NULL,
  rule_version INT UNSIGNED NOT NULL,
  granted BIGINT NOT NULL,
  version INT UNSIGNED NOT NULL,
  PRIMARY KEY (tenant_id, rule_version),
  CONSTRAINT point_budgets_granted CHECK (granted >= 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
