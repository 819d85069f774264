-- The number of a refund that was made elsewhere, once: whoever tells of it, and how often, it is one refund. With what told first.
CREATE TABLE foreign_refunds (
  number_hash BINARY(16) NOT NULL PRIMARY KEY COMMENT 'of the tenant and out_refund_no',
  tenant_id INT UNSIGNED NOT NULL,
  refund_id BINARY(16) NOT NULL,
  told_by BINARY(16) NULL COMMENT 'the callback; none: a query',
  created_at DATETIME(6) NOT NULL,
  UNIQUE KEY foreign_refunds_refund (refund_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
