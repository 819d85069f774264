-- A call to WeChat is written down before it is made. While one of unknown outcome may still be taken, no refusal of another and no query proves that nothing was shared.
-- stopped: WeChat says it shared what we called refused; no refund of the order goes on until a person has looked.
ALTER TABLE sharings
  ADD COLUMN calls INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'calls that were begun',
  ADD COLUMN may_land_until DATETIME(6) NULL COMMENT 'until when one of unknown outcome may still be taken',
  ADD COLUMN stopped TINYINT NOT NULL DEFAULT 0 COMMENT 'a contradiction: no refund of the order goes on'
