-- Who moved an order and why.
ALTER TABLE payment_order_history
  ADD COLUMN why TINYINT NOT NULL DEFAULT 0 COMMENT '0 not told, 1 customer, 2 shop, 3 ticket, 4 callback, 5 query, 6 expiry, 7 closed at WeChat, 8 operator, 9 refund, 10 late: refunded, 11 late: reopened, 12 refund asked, 13 refund dropped, 14 sharing',
  ADD COLUMN actor VARCHAR(80) NULL COMMENT 'when a person did it'
