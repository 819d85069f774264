-- What runs out when, without reading every customer's lots: the nightly expiry and its notices walk along this key page by page, and the statement of a tenant's
-- expiring points adds up days of it. The tenant stands first because each of them asks for one tenant. What is left in a lot is not part of it: that changes with
-- every payment, the three columns never do, so a payment pays for this key only when it opens a lot.
ALTER TABLE point_lots
  ADD KEY point_lots_expiry (tenant_id, expires_on, account_id)
