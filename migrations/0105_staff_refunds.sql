-- What a person of a shop has given back without anybody else's word, on the last day on which they did. One row a person; its version guards it, since two refunds of one clerk are
-- about different orders and so may be decided by different committers at once.
CREATE TABLE staff_refunds (
  staff_id BINARY(16) NOT NULL PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  day DATE NOT NULL COMMENT 'at UTC+8; never an earlier one than before',
  alone_fen BIGINT NOT NULL COMMENT 'what was asked for on that day and set out at once, whatever came of it',
  version BIGINT UNSIGNED NOT NULL,
  CONSTRAINT staff_refunds_alone CHECK (alone_fen > 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
