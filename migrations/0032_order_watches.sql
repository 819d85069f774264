-- Orders that got no callback in time: when they are asked about next. Written by a job that looks
-- at each order once, some seconds after it was made, so that orders that are paid at once cost
-- nothing; deleted when the order is no longer open. Moving due_at is how the job claims an order.
-- Key: the order.
--
-- owner: payments
-- rights: select, insert, update, delete
CREATE TABLE order_watches (
  order_id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  due_at DATETIME(6) NOT NULL,
  queries INT UNSIGNED NOT NULL,
  refusals INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'times in a row that nothing was learnt: the more, the longer until it is asked about again',
  problem VARCHAR(200) NULL COMMENT 'why nothing was learnt; NULL when WeChat was understood',
  PRIMARY KEY (order_id),
  KEY order_watches_due (due_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
