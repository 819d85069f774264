-- Who did what. Appended, never changed.
CREATE TABLE audit_logs (
  id BINARY(16) NOT NULL PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  actor VARCHAR(64) NOT NULL,
  action VARCHAR(64) NOT NULL,
  subject VARCHAR(64) NOT NULL,
  detail JSON NULL,
  at DATETIME(6) NOT NULL,
  KEY audit_logs_tenant (tenant_id, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
