-- A part that was called failed, booked back to the shop, and that WeChat shared all the same: it is succeeded, late, and has an entry more that says so.
ALTER TABLE sharing_parts
  ADD COLUMN late TINYINT NOT NULL DEFAULT 0 COMMENT 'succeeded after it had been called failed'
