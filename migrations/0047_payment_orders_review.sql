-- Risk may want a person to decide on the points of an order; the money does not wait.
ALTER TABLE payment_orders
  ADD COLUMN review TINYINT NOT NULL DEFAULT 0 COMMENT '0 no, 1 wanted when it is paid, 2 open: the points are pending, 3 let in, 4 let go'
