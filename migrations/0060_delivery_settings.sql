-- What a tenant wants told after a payment. No row: nothing. The fields say which fact goes into which field of WeChat's template.
CREATE TABLE delivery_settings (
  tenant_id INT UNSIGNED NOT NULL PRIMARY KEY,
  shipping VARCHAR(16) NOT NULL COMMENT 'off, self_pickup, virtual',
  payment_template VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  payment_fields JSON NULL,
  refund_template VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  refund_fields JSON NULL,
  message_page VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT 'of the mini-program; NULL: a message opens nothing',
  code_page VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT 'of the mini-program; NULL: its main page',
  program VARCHAR(16) NOT NULL COMMENT 'developer, trial, formal',
  updated_at DATETIME(6) NOT NULL,
  updated_by VARCHAR(64) NOT NULL,
  CONSTRAINT delivery_settings_payment CHECK ((payment_template IS NULL) = (payment_fields IS NULL)),
  CONSTRAINT delivery_settings_refund CHECK ((refund_template IS NULL) = (refund_fields IS NULL))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
