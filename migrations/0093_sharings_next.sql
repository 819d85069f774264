-- The same for sharings: not done, and due at some time.
ALTER TABLE sharings ADD CONSTRAINT sharings_next CHECK ((state <> 4) = (next_attempt_at IS NOT NULL))
