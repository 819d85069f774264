-- The most that a clerk gives back alone in a day. Many refunds of many orders, each within what a clerk may give back of one, come to any sum.
ALTER TABLE payment_policies
  ADD COLUMN clerk_refund_day_max_fen BIGINT NOT NULL DEFAULT 100000 COMMENT 'what a clerk gives back alone in a day at UTC+8; above it a refund by a clerk waits for the owner or an operator'
