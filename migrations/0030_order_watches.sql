-- Orders that got no callback in time: when they are asked about next. Put here by a job that looks at each order once, some seconds after it was made, so that
-- orders that are paid at once cost nothing.
CREATE TABLE order_watches (
  order_id BINARY(16) NOT NULL PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  due_at DATETIME(6) NOT NULL,
  queries INT UNSIGNED NOT NULL,
  KEY order_watches_due (due_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
