-- Every text of risk's rules that was ever in force. A text has one number, whichever process loads
-- it and however often: decisions name it, and can be made again by it. Never changed.
-- Key: the number. A text is found by its hash.
--
-- owner: risk
-- rights: select, insert
CREATE TABLE risk_rule_sets (
  number INT UNSIGNED NOT NULL AUTO_INCREMENT,
  hash BINARY(32) NOT NULL COMMENT 'SHA-256 of the text',
  text MEDIUMTEXT NOT NULL,
  loaded_at DATETIME(6) NOT NULL COMMENT 'for the first time',
  PRIMARY KEY (number),
  UNIQUE KEY risk_rule_sets_hash (hash)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
