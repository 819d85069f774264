-- Whether others get a share of what the shop collects: its orders are made with the money frozen.
ALTER TABLE merchants
  ADD COLUMN sharing TINYINT NOT NULL DEFAULT 0
