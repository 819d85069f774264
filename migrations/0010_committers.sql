-- Leased identities of group committers: a process takes one that nobody holds, or makes a new one.
-- Key: the number that stands in `commits`.
--
-- owner: db
-- rights: select, insert, update
CREATE TABLE committers (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  holder BINARY(16) NOT NULL,
  leased_until DATETIME(6) NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
