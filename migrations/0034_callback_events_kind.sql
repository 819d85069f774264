-- Callbacks that could not be taken are stored too; with the headers, because whether they are believed is decided again when they are played again.
ALTER TABLE callback_events
  MODIFY outcome TINYINT NOT NULL COMMENT '1 settled, 2 a refund moved, 3 rejected (see callback_alarms), 4 not ours to handle, 5 failed here, 6 not believed, 7 changed nothing',
  ADD COLUMN reason VARCHAR(40) NULL,
  ADD COLUMN headers VARBINARY(2048) NULL COMMENT 'JSON; only of what was not believed'
