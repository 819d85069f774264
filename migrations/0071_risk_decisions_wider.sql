-- As many rules as a file may have, all firing, fill more than 8,000 bytes with their ids alone. The program cuts reasons so that a decision fits into this.
-- Both lengths take two bytes to tell, so no row is rewritten; the old program writes and reads as before.
ALTER TABLE risk_decisions
  MODIFY COLUMN decision VARBINARY(16000) NOT NULL COMMENT 'a byte for the form, then postcard: facts, what the counters said, every rule that fired'
