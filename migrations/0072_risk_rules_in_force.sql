-- The rules that a process put in force last: one that starts with a file that has a mistake goes on by these. One row; texts stay where nobody can change them.
CREATE TABLE risk_rules_in_force (
  place TINYINT UNSIGNED NOT NULL PRIMARY KEY COMMENT '1',
  rule_set INT UNSIGNED NOT NULL,
  since DATETIME(6) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
