-- Who may get a share of what a merchant collects. The full name goes to WeChat, encrypted, and is
-- kept nowhere; here is enough of it to recognise. Written when an operator adds or removes
-- somebody.
-- Key: an id in time order. An account is one receiver of a merchant.
--
-- owner: sharing
-- rights: select, insert, update
CREATE TABLE sharing_receivers (
  id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  merchant_id BINARY(16) NOT NULL,
  kind VARCHAR(16) NOT NULL COMMENT 'merchant, person',
  account VARCHAR(64) NOT NULL COMMENT 'a merchant number, or an openid under our mini-program',
  name_masked VARCHAR(64) NULL,
  relation VARCHAR(32) NOT NULL COMMENT 'the word of WeChat, such as SERVICE_PROVIDER',
  state VARCHAR(16) NOT NULL COMMENT 'pending, active, removed, refused',
  problem VARCHAR(80) NULL COMMENT 'why WeChat refused',
  created_at DATETIME(6) NOT NULL,
  updated_at DATETIME(6) NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY sharing_receivers_account (merchant_id, kind, account)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
