-- The tenants that share this database. Made by `zhangfang tenant create`.
-- Key: a small number, because it stands on every row of every other table. Outside, a tenant is
-- its code.
--
-- owner: tenants
-- rights: select, insert, update
CREATE TABLE tenants (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  code VARCHAR(32) NOT NULL,
  name VARCHAR(100) NOT NULL,
  created_at DATETIME(6) NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY tenants_code (code)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
