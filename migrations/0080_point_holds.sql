-- What of an account's points is set aside, by the day on which it was. A hold may use the lots that were not over on its day, so that the days decide which points it needs: without
-- them all that is held had to be taken off what is not over, though what is over covered it. Pending transfers say the same, but cannot be found by account without reading
-- all of its transfers. A row that would hold nothing is not there.
CREATE TABLE point_holds (
  account_id BINARY(16) NOT NULL,
  set_aside_on DATE NOT NULL COMMENT 'day of the pending transfers (UTC+8)',
  tenant_id INT UNSIGNED NOT NULL,
  held BIGINT NOT NULL,
  PRIMARY KEY (account_id, set_aside_on),
  CONSTRAINT point_holds_held CHECK (held > 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
