-- Points of one account that expire on one day. The sum over an account's lots is its balance.
CREATE TABLE point_lots (
  account_id BINARY(16) NOT NULL,
  expires_on DATE NOT NULL COMMENT 'first day on which they are gone (UTC+8); 9999-12-31: never',
  tenant_id INT UNSIGNED NOT NULL,
  granted BIGINT NOT NULL,
  remaining BIGINT NOT NULL,
  PRIMARY KEY (account_id, expires_on),
  CONSTRAINT point_lots_remaining CHECK (remaining >= 0 AND remaining <= granted)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
