-- How often in a row nothing was learnt of an order: the more often, the longer until it is asked about again.
ALTER TABLE order_watches ADD COLUMN refusals INT UNSIGNED NOT NULL DEFAULT 0
