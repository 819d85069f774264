-- People who pay. Written once, at the first login or at the first payment seen of an openid.
-- phone_cipher is encrypted, phone_index a blind index to find a number by; nothing asks for a
-- phone number yet.
-- Key: an id in time order. An openid is one customer of one tenant.
--
-- owner: customers
-- rights: select, insert
CREATE TABLE customers (
  id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  openid VARCHAR(64) NOT NULL,
  nickname VARCHAR(100) NULL,
  avatar VARCHAR(500) NULL,
  phone_cipher VARBINARY(128) NULL,
  phone_index BINARY(32) NULL,
  status VARCHAR(16) NOT NULL COMMENT 'active, blocked',
  created_at DATETIME(6) NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY customers_openid (tenant_id, openid),
  KEY customers_phone (tenant_id, phone_index)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
