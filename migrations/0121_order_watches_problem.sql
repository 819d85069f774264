-- Why nothing was learnt when WeChat was last asked about the order, in words: so far only a log said so. NULL when WeChat was understood.
ALTER TABLE order_watches ADD COLUMN problem VARCHAR(200) NULL
