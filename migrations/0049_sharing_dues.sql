-- Paid orders whose money waits to be shared. Written by the relay, from the events of their
-- payment, so that settling a payment costs nothing for it; deleted when the sharing begins.
-- due_at is at first when the order was paid; a job that claims the order moves it.
-- Key: the order.
--
-- owner: sharing
-- rights: select, insert, update, delete
CREATE TABLE sharing_dues (
  order_id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  due_at DATETIME(6) NOT NULL,
  PRIMARY KEY (order_id),
  KEY sharing_dues_due (due_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
