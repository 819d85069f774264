-- How many days before points expire their owner is told, and by which template. NULL: not at all.
ALTER TABLE delivery_settings
  ADD COLUMN expiry_notice_days SMALLINT UNSIGNED NULL,
  ADD COLUMN expiry_template VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  ADD COLUMN expiry_fields VARCHAR(1000) NULL COMMENT 'the field of the template for each fact, as JSON',
  ADD CONSTRAINT delivery_settings_expiry CHECK ((expiry_template IS NULL) = (expiry_fields IS NULL) AND (expiry_template IS NULL) = (expiry_notice_days IS NULL))
