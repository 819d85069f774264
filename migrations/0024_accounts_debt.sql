-- Points that a customer owes: what stands on the customer's debt account, beside the sums for whoever decides on them.
ALTER TABLE accounts
  ADD COLUMN debt BIGINT NOT NULL DEFAULT 0,
  ADD CONSTRAINT accounts_debt CHECK (debt >= 0)
