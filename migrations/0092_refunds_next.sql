-- What is under way has a time at which somebody looks at it again, and nothing else has. A withdrawn refund has one for as long as shares that were on
-- their way back for it are still coming. Rows that break it would be stuck for ever: better the change fails.
ALTER TABLE refunds ADD CONSTRAINT refunds_next CHECK (state = 10 OR (state IN (3, 4, 5, 7)) = (next_attempt_at IS NOT NULL))
