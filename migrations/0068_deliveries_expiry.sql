-- A notice of points that expire soon is about a customer and a day, not about an order. Programs that do not know the kind plan none and pass over none: a row of it
-- appears only after the settings ask for it, which the same programs cannot set.
ALTER TABLE deliveries
  MODIFY kind VARCHAR(16) NOT NULL COMMENT 'shipping_info, payment_message, refund_message, expiry_message',
  MODIFY order_id BINARY(16) NULL,
  MODIFY amount_fen BIGINT NULL COMMENT 'paid or refunded',
  MODIFY happened_at DATETIME(6) NOT NULL COMMENT 'paid or refunded, by the channel; or when points will expire',
  ADD COLUMN customer_id BINARY(16) NULL COMMENT 'whose points expire',
  ADD COLUMN expires_on DATE NULL COMMENT 'first day on which they are gone (UTC+8)',
  ADD COLUMN points BIGINT NULL COMMENT 'left when the notice was planned',
  ADD CONSTRAINT deliveries_order CHECK ((kind = 'expiry_message') = (order_id IS NULL) AND (order_id IS NULL) = (amount_fen IS NULL)),
  ADD CONSTRAINT deliveries_expiry CHECK ((order_id IS NULL) = (customer_id IS NOT NULL AND expires_on IS NOT NULL AND points IS NOT NULL))
