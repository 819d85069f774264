-- Collection codes as WeChat drew them, with what they were drawn for. Overwritten when one is
-- drawn for something else.
-- Key: the collection code.
--
-- owner: merchants
-- rights: select, insert, update
CREATE TABLE mini_program_codes (
  code CHAR(12) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  page VARCHAR(128) NOT NULL COMMENT 'empty: the main page',
  program VARCHAR(16) NOT NULL COMMENT 'developer, trial, formal',
  picture MEDIUMBLOB NOT NULL,
  drawn_at DATETIME(6) NOT NULL,
  PRIMARY KEY (code)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
