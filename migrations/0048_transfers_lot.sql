-- Points that reach a customer: the lot of the day on which they expire. Points that leave one: the lot that is taken from before the others.
-- With it every lot can be computed again from the transfers alone. NULL: no points, or written before this column was there.
ALTER TABLE transfers
  ADD COLUMN lot DATE NULL
