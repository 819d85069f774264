-- One intention of one caller. Written with its effect, in the same transaction or batch.
-- Key: a hash of tenant, caller, route and the caller's key.
--
-- owner: idempotency
-- rights: select, insert, update
CREATE TABLE idempotency_keys (
  id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  request_hash BINARY(16) NOT NULL,
  effect_id BINARY(16) NULL COMMENT 'the thing that was made',
  answer_status SMALLINT NULL,
  answer MEDIUMBLOB NULL COMMENT 'where the answer cannot be made again from the thing',
  created_at DATETIME(6) NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
