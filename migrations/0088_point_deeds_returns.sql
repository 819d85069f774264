-- Points that were spent or taken are given back: a deed of its own, of kind 4, that names the one whose points it returns. That one counts what was returned of it and in
-- how many parts; its version goes on with each.
ALTER TABLE point_deeds
  ADD COLUMN returns_of BINARY(16) NULL COMMENT 'of a return: the deed whose points it gives back',
  ADD COLUMN returned BIGINT NOT NULL DEFAULT 0 COMMENT 'of what was spent or taken: given back since',
  ADD COLUMN returns INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'in so many parts',
  ADD CONSTRAINT point_deeds_returns CHECK ((kind = 4) = (returns_of IS NOT NULL)),
  ADD CONSTRAINT point_deeds_returned CHECK (returned >= 0 AND returned <= IF(kind = 2, points, captured) AND (returned > 0) = (returns > 0))
