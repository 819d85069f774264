-- Points that a back end gave, took, spent, held or gave back for a customer, under the back end's
-- own reference: one row, one journal entry. Written by batches; version guards the row.
-- due_at is when a job ends a hold; moving it is how the job claims it, and does not change the
-- version. hold_until is what the back end was told.
-- Points that were spent or taken are given back by a row of its own, of kind 4, that names the one
-- whose points it returns. That one counts what was returned of it and in how many parts; its
-- version goes on with each.
-- Key: an id in time order. A back end's reference is one row of its kind, for ever.
--
-- owner: points
-- rights: select, insert, update
CREATE TABLE points_transactions (
  id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  customer_id BINARY(16) NOT NULL,
  merchant_id BINARY(16) NULL,
  order_id BINARY(16) NULL,
  kind TINYINT NOT NULL COMMENT '1 award, 2 deduct, 3 redeem, 4 return',
  state TINYINT NOT NULL COMMENT '1 held, 2 done, 3 released, 4 expired, 5 under review, 6 refused',
  version INT UNSIGNED NOT NULL,
  points BIGINT NOT NULL,
  captured BIGINT NOT NULL COMMENT 'of a redemption that is done: how many were spent',
  returned BIGINT NOT NULL DEFAULT 0 COMMENT 'of what was spent or taken: given back since',
  returns INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'in so many parts',
  returns_of BINARY(16) NULL COMMENT 'of a return: the row whose points it gives back',
  source VARCHAR(32) NOT NULL COMMENT 'which back end',
  reference VARCHAR(64) NOT NULL COMMENT 'its own name for this, for ever',
  reason VARCHAR(200) NOT NULL,
  expired_from DATE NULL COMMENT 'of an award: the first day on which its points can no longer be used (UTC+8)',
  hold_until DATETIME(6) NULL COMMENT 'of a redemption that is held first',
  due_at DATETIME(6) NULL,
  created_by VARCHAR(64) NOT NULL,
  created_at DATETIME(6) NOT NULL,
  updated_at DATETIME(6) NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY points_transactions_reference (tenant_id, source, kind, reference),
  KEY points_transactions_tenant (tenant_id, id),
  KEY points_transactions_customer (customer_id, id),
  KEY points_transactions_due (due_at),
  CONSTRAINT points_transactions_points CHECK (points > 0 AND captured >= 0 AND captured <= points),
  CONSTRAINT points_transactions_captured CHECK ((kind = 3 AND state = 2) = (captured > 0)),
  CONSTRAINT points_transactions_lot CHECK ((kind = 1) = (expired_from IS NOT NULL)),
  CONSTRAINT points_transactions_due CHECK ((state = 1) = (due_at IS NOT NULL)),
  CONSTRAINT points_transactions_hold CHECK (state NOT IN (1, 3, 4) OR (kind = 3 AND hold_until IS NOT NULL)),
  CONSTRAINT points_transactions_returns CHECK ((kind = 4) = (returns_of IS NOT NULL)),
  CONSTRAINT points_transactions_returned CHECK (returned >= 0 AND returned <= IF(kind = 2, points, captured) AND (returned > 0) = (returns > 0))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
