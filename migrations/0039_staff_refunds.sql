-- What a person of a merchant has given back without anybody else's word, on the last day on which
-- they did. Written by batches; its version guards it, since two refunds of one clerk are about
-- different orders and so may be decided by different committers at once.
-- Key: the person.
--
-- owner: payments
-- rights: select, insert, update
CREATE TABLE staff_refunds (
  staff_id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  day DATE NOT NULL COMMENT 'at UTC+8; never an earlier one than before',
  alone_fen BIGINT NOT NULL COMMENT 'what was asked for on that day and began at once, whatever came of it',
  version BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (staff_id),
  CONSTRAINT staff_refunds_alone CHECK (alone_fen > 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
