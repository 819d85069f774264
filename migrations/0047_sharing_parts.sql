-- What one receiver gets of a sharing. Written by batches, guarded by the version of the sharing.
-- Key: an id in time order. A receiver gets one part of a sharing.
--
-- owner: sharing
-- rights: select, insert, update
CREATE TABLE sharing_parts (
  id BINARY(16) NOT NULL,
  sharing_id BINARY(16) NOT NULL,
  receiver_id BINARY(16) NOT NULL,
  state TINYINT NOT NULL COMMENT '1 pending, 2 succeeded, 3 failed',
  amount_fen BIGINT NOT NULL,
  returned_fen BIGINT NOT NULL COMMENT 'asked back, and not failed to come back',
  late TINYINT NOT NULL COMMENT '1: succeeded after it had been called failed and booked back to the merchant; an entry more says so',
  description VARCHAR(80) NOT NULL,
  fail_reason VARCHAR(80) NULL,
  PRIMARY KEY (id),
  UNIQUE KEY sharing_parts_receiver (sharing_id, receiver_id),
  CONSTRAINT sharing_parts_amounts CHECK (amount_fen > 0 AND returned_fen >= 0 AND returned_fen <= amount_fen),
  CONSTRAINT sharing_parts_returned CHECK (returned_fen = 0 OR state = 2)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
