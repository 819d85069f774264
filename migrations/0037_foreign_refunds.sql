-- The number of a refund that was made elsewhere, with what told of it first. Written by batches;
-- never changed.
-- Key: the number, hashed: whoever tells of it, and how often, it is one refund.
--
-- owner: payments
-- rights: select, insert
CREATE TABLE foreign_refunds (
  number_hash BINARY(16) NOT NULL COMMENT 'of the tenant and out_refund_no',
  tenant_id INT UNSIGNED NOT NULL,
  refund_id BINARY(16) NOT NULL,
  reported_by BINARY(16) NULL COMMENT 'the callback; none: a query',
  created_at DATETIME(6) NOT NULL,
  PRIMARY KEY (number_hash),
  UNIQUE KEY foreign_refunds_refund (refund_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
