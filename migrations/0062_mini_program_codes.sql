-- Collection codes as WeChat drew them, with what they were drawn for.
CREATE TABLE mini_program_codes (
  code CHAR(12) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  page VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'empty: the main page',
  program VARCHAR(16) NOT NULL COMMENT 'developer, trial, formal',
  picture MEDIUMBLOB NOT NULL,
  drawn_at DATETIME(6) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
