-- The parts of a version of a sharing rule: one receiver each. Never changed.
-- Key: the version and the part's position in it.
--
-- owner: sharing
-- rights: select, insert
CREATE TABLE sharing_rule_parts (
  merchant_id BINARY(16) NOT NULL,
  version INT UNSIGNED NOT NULL,
  position TINYINT UNSIGNED NOT NULL,
  receiver_id BINARY(16) NOT NULL,
  ratio_ppm INT UNSIGNED NOT NULL COMMENT 'millionths of the payment less fee and refunds, rounded down',
  description VARCHAR(80) NOT NULL COMMENT 'shown to the receiver',
  PRIMARY KEY (merchant_id, version, position),
  UNIQUE KEY sharing_rule_parts_receiver (merchant_id, version, receiver_id),
  CONSTRAINT sharing_rule_parts_ratio CHECK (ratio_ppm > 0 AND ratio_ppm <= 1000000)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
