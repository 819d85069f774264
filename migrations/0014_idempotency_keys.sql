-- One intention of one caller: the id is a hash of tenant, caller, route and key. Written with its effect.
CREATE TABLE idempotency_keys (
  id BINARY(16) NOT NULL PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  request_hash BINARY(16) NOT NULL,
  effect_id BINARY(16) NULL COMMENT 'the thing that was made',
  answer_status SMALLINT NULL,
  answer MEDIUMBLOB NULL COMMENT 'where the answer cannot be made again from the thing',
  created_at DATETIME(6) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
