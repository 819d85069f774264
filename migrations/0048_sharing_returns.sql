-- A part, or some of it, coming back for a refund. Written by batches, guarded by the version of
-- the sharing. A call is written down before it is made, as in sharings.
-- Key: an id in time order; the number towards WeChat (out_return_no) is the id in base 32: the
-- same for every attempt, for ever. A part comes back once for a refund.
--
-- owner: sharing
-- rights: select, insert, update
CREATE TABLE sharing_returns (
  id BINARY(16) NOT NULL,
  sharing_id BINARY(16) NOT NULL,
  part_id BINARY(16) NOT NULL,
  refund_id BINARY(16) NOT NULL,
  state TINYINT NOT NULL COMMENT '1 asked, 2 processing, 3 succeeded, 4 failed',
  amount_fen BIGINT NOT NULL,
  wechat_return_id VARCHAR(64) NULL,
  fail_reason VARCHAR(80) NULL,
  attempts INT UNSIGNED NOT NULL,
  calls INT UNSIGNED NOT NULL COMMENT 'calls that were begun',
  may_arrive_until DATETIME(6) NULL COMMENT 'until when one of unknown outcome may still be taken',
  PRIMARY KEY (id),
  UNIQUE KEY sharing_returns_once (refund_id, part_id),
  KEY sharing_returns_sharing (sharing_id),
  CONSTRAINT sharing_returns_amount CHECK (amount_fen > 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
