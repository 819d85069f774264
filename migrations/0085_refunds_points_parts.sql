-- Points that go back with a refund are not all taken from the customer: what ran out unspent of the payment's lot counts as given back, and what was under review when
-- the refund set out was never credited. What is left is set aside and taken.
ALTER TABLE refunds
  ADD COLUMN points_ran_out BIGINT NOT NULL DEFAULT 0 COMMENT 'of those due: ran out unspent before, and count as given back',
  ADD COLUMN points_withheld BIGINT NOT NULL DEFAULT 0 COMMENT 'of those due: under review when the refund set out, and never credited',
  ADD CONSTRAINT refunds_points_parts CHECK (points_ran_out >= 0 AND points_withheld >= 0 AND points_lent + points_ran_out + points_withheld <= points_due)
