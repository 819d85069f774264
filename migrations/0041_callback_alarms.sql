-- Callbacks whose signature holds and that do not fit what is in the books: someone must look.
-- Written by batches; never changed. A callback that nobody could read may have two: the second
-- comes when it is read after all, and has what it says.
-- Key: the callback, and whether it was read.
--
-- owner: payments
-- rights: select, insert
CREATE TABLE callback_alarms (
  event_id BINARY(16) NOT NULL,
  understood TINYINT NOT NULL COMMENT '0 nothing of the callback could be read, 1 with what it says',
  tenant_id INT UNSIGNED NOT NULL,
  reason VARCHAR(40) NOT NULL,
  out_trade_no VARCHAR(64) NOT NULL,
  out_refund_no VARCHAR(64) NOT NULL,
  wechat_transaction_id VARCHAR(64) NOT NULL,
  amount_fen BIGINT NOT NULL,
  created_at DATETIME(6) NOT NULL,
  PRIMARY KEY (event_id, understood),
  KEY callback_alarms_tenant (tenant_id, event_id),
  KEY callback_alarms_order (out_trade_no)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
