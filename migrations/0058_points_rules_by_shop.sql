-- The versions of one shop, or of the tenant itself, newest first: the history of one, and the version before another.
ALTER TABLE points_rules
  ADD KEY points_rules_by_shop (tenant_id, merchant_id, version)
