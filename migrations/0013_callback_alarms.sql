-- Callbacks that were soundly signed and still wrong: someone must look.
CREATE TABLE callback_alarms (
  event_id BINARY(16) NOT NULL PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  reason VARCHAR(40) NOT NULL,
  out_trade_no VARCHAR(64) NOT NULL,
  wechat_transaction_id VARCHAR(64) NOT NULL,
  amount_fen BIGINT NOT NULL,
  created_at DATETIME(6) NOT NULL,
  KEY callback_alarms_tenant (tenant_id, event_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
