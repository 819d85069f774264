-- What one receiver gets of a sharing.
CREATE TABLE sharing_parts (
  id BINARY(16) NOT NULL PRIMARY KEY,
  sharing_id BINARY(16) NOT NULL,
  receiver_id BINARY(16) NOT NULL,
  amount_fen BIGINT NOT NULL,
  description VARCHAR(80) NOT NULL,
  state TINYINT NOT NULL COMMENT '1 pending, 2 succeeded, 3 failed',
  fail_reason VARCHAR(80) NULL,
  returned_fen BIGINT NOT NULL COMMENT 'asked back, and not failed to come back',
  UNIQUE KEY sharing_parts_receiver (sharing_id, receiver_id),
  CONSTRAINT sharing_parts_amounts CHECK (amount_fen > 0 AND returned_fen >= 0 AND returned_fen <= amount_fen),
  CONSTRAINT sharing_parts_returned CHECK (returned_fen = 0 OR state = 2)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
