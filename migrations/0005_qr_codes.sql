-- Collection codes on counters. Made and disabled by a merchant's staff.
-- Key: the code itself, which is opaque: it names neither merchant nor row.
--
-- owner: merchants
-- rights: select, insert, update
CREATE TABLE qr_codes (
  code CHAR(12) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  merchant_id BINARY(16) NOT NULL,
  label VARCHAR(60) NOT NULL COMMENT 'counter or store',
  amount_fen BIGINT NULL COMMENT 'NULL: the customer types the amount',
  state VARCHAR(16) NOT NULL COMMENT 'active, disabled',
  created_at DATETIME(6) NOT NULL,
  disabled_at DATETIME(6) NULL,
  PRIMARY KEY (code),
  KEY qr_codes_merchant (merchant_id, created_at, code),
  CONSTRAINT qr_codes_amount CHECK (amount_fen IS NULL OR amount_fen > 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
