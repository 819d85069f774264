-- As for sharings: a call is written down before it is made, and while one of unknown outcome may still be taken nothing proves that it was not.
ALTER TABLE sharing_returns
  ADD COLUMN calls INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'calls that were begun',
  ADD COLUMN may_land_until DATETIME(6) NULL COMMENT 'until when one of unknown outcome may still be taken'
