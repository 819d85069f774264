-- What a version of a points rule with a total cap has handed out. Written by batches, guarded by
-- its version, which counts the payments of all customers that drew on it.
-- Key: the tenant and the rule's version.
--
-- owner: points
-- rights: select, insert, update
CREATE TABLE points_budgets (
  tenant_id INT UNSIGNED NOT NULL,
  rule_version INT UNSIGNED NOT NULL,
  granted BIGINT NOT NULL COMMENT 'points',
  version BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (tenant_id, rule_version),
  CONSTRAINT points_budgets_granted CHECK (granted >= 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
