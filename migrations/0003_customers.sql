-- People who pay. A phone number is kept encrypted, with a blind index to find it by; nothing asks for it yet.
CREATE TABLE customers (
  id BINARY(16) NOT NULL PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  openid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  nickname VARCHAR(100) NULL,
  avatar VARCHAR(500) NULL,
  phone_cipher VARBINARY(128) NULL,
  phone_index BINARY(32) NULL,
  status VARCHAR(16) NOT NULL COMMENT 'active, blocked',
  created_at DATETIME(6) NOT NULL,
  UNIQUE KEY customers_openid (tenant_id, openid),
  KEY customers_phone (tenant_id, phone_index)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
