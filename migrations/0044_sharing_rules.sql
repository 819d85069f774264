-- What of a merchant's payments goes to whom. A version is never changed, since sharings name
-- theirs; the newest is in force.
-- Key: the merchant and the version.
--
-- owner: sharing
-- rights: select, insert
CREATE TABLE sharing_rules (
  merchant_id BINARY(16) NOT NULL,
  version INT UNSIGNED NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  active TINYINT NOT NULL,
  ratio_max_ppm INT UNSIGNED NOT NULL COMMENT 'the most that WeChat allowed the merchant when the rule was set, in millionths',
  created_at DATETIME(6) NOT NULL,
  created_by VARCHAR(64) NOT NULL,
  PRIMARY KEY (merchant_id, version)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
