-- Under which merchant account of ours (sp_mchid) a shop has its number: there the number is one shop, or nobody could say whose a line of WeChat's bill is.
-- NULL while a shop has no number, where a platform collects for itself (all its shops have its own number), and for shops that were approved before this.
ALTER TABLE merchants
  ADD COLUMN sub_mchid_under VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL
