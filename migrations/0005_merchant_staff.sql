-- People who work in a shop; they log in through WeChat too.
CREATE TABLE merchant_staff (
  id BINARY(16) NOT NULL PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  merchant_id BINARY(16) NOT NULL,
  openid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  role VARCHAR(16) NOT NULL COMMENT 'owner, clerk',
  status VARCHAR(16) NOT NULL COMMENT 'active, removed',
  created_at DATETIME(6) NOT NULL,
  UNIQUE KEY merchant_staff_openid (tenant_id, openid),
  KEY merchant_staff_merchant (merchant_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
