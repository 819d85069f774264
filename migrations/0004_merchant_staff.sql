-- People who work for a merchant; they log in through WeChat too. Written when somebody registers a
-- merchant.
-- Key: an id in time order. An openid works for one merchant of a tenant.
--
-- owner: merchants
-- rights: select, insert, update
CREATE TABLE merchant_staff (
  id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  merchant_id BINARY(16) NOT NULL,
  openid VARCHAR(64) NOT NULL,
  role VARCHAR(16) NOT NULL COMMENT 'owner, clerk',
  status VARCHAR(16) NOT NULL COMMENT 'active, removed',
  created_at DATETIME(6) NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY merchant_staff_openid (tenant_id, openid),
  KEY merchant_staff_merchant (merchant_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
