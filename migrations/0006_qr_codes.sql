-- Collection codes on counters. The code is opaque: it names neither shop nor row.
CREATE TABLE qr_codes (
  code CHAR(12) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  merchant_id BINARY(16) NOT NULL,
  label VARCHAR(60) NOT NULL COMMENT 'counter or store',
  amount_fen BIGINT NULL COMMENT 'NULL: the customer types the amount',
  state VARCHAR(16) NOT NULL COMMENT 'active, disabled',
  created_at DATETIME(6) NOT NULL,
  disabled_at DATETIME(6) NULL,
  KEY qr_codes_merchant (merchant_id, created_at, code),
  CONSTRAINT qr_codes_amount CHECK (amount_fen IS NULL OR amount_fen > 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
