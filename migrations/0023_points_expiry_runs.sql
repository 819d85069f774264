-- One sweep of a tenant's lots that have expired: every night, or when somebody asks. A run that is not
-- finished is worked on by whoever holds its lease; there is one lease, so one process sweeps at a
-- time. Where a run stands is not written down: lots that were swept hold nothing and are passed
-- over.
-- Key: an id in time order. A tenant has one open run, and one of every night.
--
-- owner: points
-- rights: select, insert, update
CREATE TABLE points_expiry_runs (
  id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  day DATE NOT NULL COMMENT 'lots are swept that are over on this day (UTC+8)',
  nightly TINYINT NULL COMMENT '1: the run of every night; NULL: somebody asked for it',
  open TINYINT NULL COMMENT '1 until it is finished',
  lease TINYINT NULL COMMENT '1 while somebody works on it',
  holder BINARY(16) NULL,
  leased_until DATETIME(6) NULL,
  started_by VARCHAR(64) NOT NULL COMMENT 'schedule, or who asked',
  asked_at DATETIME(6) NOT NULL,
  started_at DATETIME(6) NULL,
  finished_at DATETIME(6) NULL,
  accounts BIGINT NOT NULL COMMENT 'of which points expired',
  lots BIGINT NOT NULL,
  points BIGINT NOT NULL,
  notices BIGINT NOT NULL COMMENT 'planned',
  noticed_until DATE NULL COMMENT 'notice was given of all that expires up to this day; NULL: the tenant wants none',
  PRIMARY KEY (id),
  UNIQUE KEY points_expiry_runs_lease (lease),
  UNIQUE KEY points_expiry_runs_open (tenant_id, open),
  UNIQUE KEY points_expiry_runs_nightly (tenant_id, day, nightly),
  KEY points_expiry_runs_tenant (tenant_id, id),
  CONSTRAINT points_expiry_runs_finished CHECK ((open IS NULL) = (finished_at IS NOT NULL)),
  CONSTRAINT points_expiry_runs_leased CHECK ((lease IS NULL) = (holder IS NULL) AND (lease IS NULL) = (leased_until IS NULL))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
