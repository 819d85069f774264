-- Until when somebody who has taken a refund may be telling WeChat of it: longer than a call can live. Nobody else tells or asks meanwhile, or what one learns would
-- not prove anything of what the other does.
ALTER TABLE refunds
  ADD COLUMN calling_until DATETIME(6) NULL
