-- The rules that a process put in force last: one that starts with a file that has a mistake goes
-- on by these.
-- Key: always 1, for there is one row.
--
-- owner: risk
-- rights: select, insert, update
CREATE TABLE risk_rules_in_force (
  id TINYINT UNSIGNED NOT NULL COMMENT '1',
  rule_set INT UNSIGNED NOT NULL COMMENT 'a number of risk_rule_sets',
  since DATETIME(6) NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
