-- How far a job has looked through a table that is in time order.
-- Key: the scan.
--
-- owner: payments
-- rights: select, insert, update
CREATE TABLE scan_positions (
  scan VARCHAR(32) NOT NULL,
  position BINARY(16) NOT NULL COMMENT 'the last id that it has seen',
  PRIMARY KEY (scan)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
