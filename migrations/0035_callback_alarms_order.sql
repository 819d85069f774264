ALTER TABLE callback_alarms
  ADD COLUMN out_refund_no VARCHAR(64) NOT NULL DEFAULT '',
  ADD KEY callback_alarms_order (out_trade_no)
