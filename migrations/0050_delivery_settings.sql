-- What a tenant wants told after a payment. No row: nothing. The fields say, as JSON, which fact
-- goes into which field of WeChat's template. Changed by an administrator.
-- Key: the tenant.
--
-- owner: deliveries
-- rights: select, insert, update
CREATE TABLE delivery_settings (
  tenant_id INT UNSIGNED NOT NULL,
  shipping VARCHAR(16) NOT NULL COMMENT 'off, self_pickup, virtual',
  payment_template VARCHAR(64) NULL,
  payment_fields JSON NULL,
  refund_template VARCHAR(64) NULL,
  refund_fields JSON NULL,
  expiry_template VARCHAR(64) NULL,
  expiry_fields VARCHAR(1000) NULL COMMENT 'JSON',
  expiry_notice_days SMALLINT UNSIGNED NULL COMMENT 'so many days before points expire their owner is told; NULL: not at all',
  message_page VARCHAR(128) NULL COMMENT 'of the mini-program; NULL: a message opens nothing',
  code_page VARCHAR(128) NULL COMMENT 'of the mini-program; NULL: its main page',
  program VARCHAR(16) NOT NULL COMMENT 'developer, trial, formal',
  updated_at DATETIME(6) NOT NULL,
  updated_by VARCHAR(64) NOT NULL,
  PRIMARY KEY (tenant_id),
  CONSTRAINT delivery_settings_payment CHECK ((payment_template IS NULL) = (payment_fields IS NULL)),
  CONSTRAINT delivery_settings_refund CHECK ((refund_template IS NULL) = (refund_fields IS NULL)),
  CONSTRAINT delivery_settings_expiry CHECK ((expiry_template IS NULL) = (expiry_fields IS NULL) AND (expiry_template IS NULL) = (expiry_notice_days IS NULL))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
