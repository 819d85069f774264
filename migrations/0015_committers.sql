-- Leased identities of group committers.
CREATE TABLE committers (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  holder BINARY(16) NOT NULL,
  leased_until DATETIME(6) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
