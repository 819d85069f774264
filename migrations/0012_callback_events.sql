-- What WeChat told us, as received. The id is the time and a hash of WeChat's notification id, so that rows are written in order.
CREATE TABLE callback_events (
  id BINARY(16) NOT NULL PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  outcome TINYINT NOT NULL COMMENT '1 settled, 3 rejected (see callback_alarms), 4 not ours to handle',
  received_at DATETIME(6) NOT NULL,
  body MEDIUMBLOB NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
