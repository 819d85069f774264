-- What a tenant wants done where the business has a choice. A version is never changed; the newest
-- is in force.
-- Key: the tenant and the version.
--
-- owner: payments
-- rights: select, insert
CREATE TABLE payment_policies (
  tenant_id INT UNSIGNED NOT NULL,
  version INT UNSIGNED NOT NULL,
  order_minutes INT UNSIGNED NOT NULL COMMENT 'how long an order can be paid',
  late_payment VARCHAR(16) NOT NULL COMMENT 'refund, reopen',
  points_shortfall VARCHAR(16) NOT NULL COMMENT 'debt, negative, refuse',
  clerk_refund_max_fen BIGINT NOT NULL COMMENT 'above it a refund by a clerk waits for the owner or an operator',
  clerk_refund_day_max_fen BIGINT NOT NULL COMMENT 'what a clerk gives back alone in a day (UTC+8); above it a refund by a clerk waits for the owner or an operator',
  refund_review_above_fen BIGINT NOT NULL COMMENT 'above it every refund waits for a second operator',
  fee_ppm INT UNSIGNED NOT NULL COMMENT 'what WeChat keeps of a payment, in millionths',
  created_at DATETIME(6) NOT NULL,
  created_by VARCHAR(80) NOT NULL,
  PRIMARY KEY (tenant_id, version)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
