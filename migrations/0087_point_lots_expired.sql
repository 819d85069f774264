-- What ran out of a lot unspent, and how much of it refunds have counted as given back: each point once. A lot of which something ran out is kept for as long after its last
-- credit as a payment can be refunded.
ALTER TABLE point_lots
  ADD COLUMN expired BIGINT NOT NULL DEFAULT 0 COMMENT 'points that ran out of it',
  ADD COLUMN given_back BIGINT NOT NULL DEFAULT 0 COMMENT 'of these: counted as given back by refunds',
  ADD COLUMN granted_on DATE NULL COMMENT 'the last day on which points came into it (UTC+8)',
  ADD CONSTRAINT point_lots_given_back CHECK (given_back >= 0 AND given_back <= expired)
