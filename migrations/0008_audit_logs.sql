-- Who did what: written in the transaction or batch that does it. Appended, never changed.
-- Key: an id in time order, so that the table can be partitioned by time as it is.
--
-- owner: audit
-- rights: select, insert
CREATE TABLE audit_logs (
  id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  actor VARCHAR(64) NOT NULL,
  action VARCHAR(64) NOT NULL,
  subject VARCHAR(64) NOT NULL,
  detail JSON NULL,
  at DATETIME(6) NOT NULL,
  PRIMARY KEY (id),
  KEY audit_logs_tenant (tenant_id, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
