-- Paid orders whose money waits to be shared. Put here by the relay, from the events of their payment, so that settling a payment costs nothing for it.
-- due_at is at first when the order was paid; a job that claims the order moves it.
CREATE TABLE sharing_dues (
  order_id BINARY(16) NOT NULL PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  due_at DATETIME(6) NOT NULL,
  KEY sharing_dues_due (due_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
