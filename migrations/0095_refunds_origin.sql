-- Who made a refund. Somebody else may refund at WeChat what was paid here (the merchant platform, another system of the same merchant), and WeChat may have made a
-- refund of ours that the books had given up. Such a refund has a row like any other, and the number under which WeChat knows it.
ALTER TABLE refunds
  ADD COLUMN origin TINYINT NOT NULL DEFAULT 0 COMMENT '0 asked for here, 1 made elsewhere, 2 asked for here, given up here, and made by WeChat after all',
  ADD COLUMN foreign_no VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT 'out_refund_no of what was not asked for under the number of this row',
  ADD CONSTRAINT refunds_origin CHECK ((origin = 0) = (foreign_no IS NULL))
