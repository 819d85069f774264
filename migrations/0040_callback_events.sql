-- What WeChat told us, as received; also what could not be taken. Written by batches with what it
-- led to; changed when it is played again.
-- Key: the time and a hash of WeChat's notification id, so that rows are written in order and the
-- table can be partitioned by time as it is.
--
-- owner: payments
-- rights: select, insert, update
CREATE TABLE callback_events (
  id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  outcome TINYINT NOT NULL COMMENT '1 settled, 2 a refund moved, 3 rejected (see callback_alarms), 4 not ours to handle, 5 failed here, 6 unverified, 7 changed nothing',
  reason VARCHAR(40) NULL,
  headers VARBINARY(2048) NULL COMMENT 'JSON; only of unverified callbacks: whether it is, is decided again when it is played again',
  body MEDIUMBLOB NOT NULL,
  received_at DATETIME(6) NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
