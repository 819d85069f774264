-- Rules for a single shop, rules that begin later, rounding, and points that last until the end of a month or a year.
-- Expand only: rows of before, and rows that an older program still writes, have NULL or the default in every new column and mean what they meant. Such a row is
-- the tenant's, begins when it was made (created_at), rounds down, and its points last expiry_days. expiry_days is still written where the validity is in days.
-- An older program takes the newest version for everybody's: put in no shop's rule and none for later before all programs are of this version.
ALTER TABLE points_rules
  ADD COLUMN merchant_id BINARY(16) NULL COMMENT 'only this shop; NULL: the tenant, for every shop without one of its own',
  ADD COLUMN withdrawn TINYINT NOT NULL DEFAULT 0 COMMENT '1: from here on the shop has what the tenant has, and the terms of this row mean nothing',
  ADD COLUMN effective_from DATETIME(6) NULL COMMENT 'NULL: created_at',
  ADD COLUMN rounding VARCHAR(16) NOT NULL DEFAULT 'down' COMMENT 'down, half_up, up',
  ADD COLUMN validity VARCHAR(16) NULL COMMENT 'days, end_of_month, end_of_year, never; NULL: expiry_days, or never without',
  ADD COLUMN validity_count INT UNSIGNED NULL COMMENT 'how many days, months or years; NULL: never',
  ADD CONSTRAINT points_rules_withdrawn CHECK (withdrawn = 0 OR merchant_id IS NOT NULL),
  ADD CONSTRAINT points_rules_rounding CHECK (rounding IN ('down', 'half_up', 'up')),
  ADD CONSTRAINT points_rules_validity CHECK (validity IS NULL OR (validity = 'never' AND validity_count IS NULL)
    OR (validity IN ('days', 'end_of_month', 'end_of_year') AND validity_count IS NOT NULL))
