-- A part, or some of it, coming back for a refund. Its number towards WeChat (out_return_no) is the id in base 32: the same for every attempt, for ever.
CREATE TABLE sharing_returns (
  id BINARY(16) NOT NULL PRIMARY KEY,
  sharing_id BINARY(16) NOT NULL,
  part_id BINARY(16) NOT NULL,
  refund_id BINARY(16) NOT NULL,
  amount_fen BIGINT NOT NULL,
  state TINYINT NOT NULL COMMENT '1 asked, 2 processing, 3 succeeded, 4 failed',
  wechat_return_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  fail_reason VARCHAR(80) NULL,
  attempts INT UNSIGNED NOT NULL,
  UNIQUE KEY sharing_returns_once (refund_id, part_id),
  KEY sharing_returns_sharing (sharing_id),
  CONSTRAINT sharing_returns_amount CHECK (amount_fen > 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
