-- Where an abnormal refund is to go that is above the limit of one person: who wants what, and who
-- agreed by sending it. Of a card only what a person recognises it by. A row stays: what two people
-- agreed on may be tried again without asking both anew.
-- Key: the refund.
--
-- owner: payments
-- rights: select, insert, update
CREATE TABLE refund_redirects (
  refund_id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  bank_type VARCHAR(32) NULL COMMENT 'none: to the merchant''s own account',
  card_tail CHAR(4) NULL COMMENT 'the last four digits',
  asked_by VARCHAR(80) NOT NULL,
  asked_at DATETIME(6) NOT NULL,
  agreed_by VARCHAR(80) NULL COMMENT 'somebody else, who sent it',
  agreed_at DATETIME(6) NULL,
  PRIMARY KEY (refund_id),
  CONSTRAINT refund_redirects_card CHECK ((bank_type IS NULL) = (card_tail IS NULL)),
  CONSTRAINT refund_redirects_agreed CHECK ((agreed_by IS NULL) = (agreed_at IS NULL)),
  CONSTRAINT refund_redirects_two CHECK (agreed_by IS NULL OR agreed_by <> asked_by)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
