-- What risk wants a person to decide on: points that are pending until then. Written by batches;
-- version guards the row.
-- due_at is when the time-out decides instead; moving it is how a job claims the row, and does not
-- change the version. NULL once it is decided.
-- Key: the id of the order or of the row in points_transactions, with 1 as its last byte: one review of
-- each.
--
-- owner: risk
-- rights: select, insert, update
CREATE TABLE risk_reviews (
  id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  kind TINYINT NOT NULL COMMENT '1 order, 2 points transaction',
  stage TINYINT NOT NULL COMMENT 'of the decision that wants it, as in risk_decisions',
  entry_id BINARY(16) NOT NULL COMMENT 'the pending entry that the decision posts or voids',
  customer_id BINARY(16) NOT NULL,
  merchant_id BINARY(16) NULL,
  state TINYINT NOT NULL COMMENT '1 open, 2 claimed, 3 approved, 4 rejected, 5 timed out and released, 6 timed out and voided, 7 superseded',
  version INT UNSIGNED NOT NULL,
  points BIGINT NOT NULL,
  amount_fen BIGINT NULL,
  source VARCHAR(64) NOT NULL COMMENT 'payment, or what a back end calls itself',
  rules VARCHAR(255) NOT NULL COMMENT 'which rules want it',
  claimed_by VARCHAR(64) NULL,
  claimed_at DATETIME(6) NULL,
  first_approver VARCHAR(64) NULL COMMENT 'who approved first, where two must',
  decided_by VARCHAR(64) NULL,
  decided_at DATETIME(6) NULL,
  note VARCHAR(200) NULL,
  due_at DATETIME(6) NULL,
  created_at DATETIME(6) NOT NULL,
  PRIMARY KEY (id),
  KEY risk_reviews_tenant (tenant_id, id),
  KEY risk_reviews_due (due_at),
  KEY risk_reviews_customer (customer_id),
  CONSTRAINT risk_reviews_points CHECK (points > 0),
  CONSTRAINT risk_reviews_claimed CHECK ((state = 2) = (claimed_by IS NOT NULL AND claimed_at IS NOT NULL)),
  CONSTRAINT risk_reviews_decided CHECK ((state > 2) = (decided_at IS NOT NULL) AND (state > 2) = (decided_by IS NOT NULL))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
