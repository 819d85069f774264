-- Refresh tokens, hashed. A family is what one login led to; the use of a token that was used
-- before revokes all of it.
-- Key: an id in time order. A token is found by its hash.
--
-- owner: auth
-- rights: select, insert, update
CREATE TABLE sessions (
  id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  family BINARY(16) NOT NULL,
  token_hash BINARY(32) NOT NULL,
  subject_kind VARCHAR(16) NOT NULL COMMENT 'customer, staff',
  subject_id BINARY(16) NOT NULL,
  created_at DATETIME(6) NOT NULL,
  expires_at DATETIME(6) NOT NULL,
  used_at DATETIME(6) NULL,
  revoked_at DATETIME(6) NULL,
  PRIMARY KEY (id),
  UNIQUE KEY sessions_token (token_hash),
  KEY sessions_family (family)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
