-- Points of one account that expire on one day. What is left in an account's lots is its balance.
-- Written by batches, guarded by the version of the account; deleted by the nightly expiry when
-- they have been spent and over for long. A lot in which something expired stays for as long after
-- its last credit as a payment can be refunded, since refunds count what expired as given back:
-- each point once.
-- Key: the account and the day. points_lots_expiry is for the nightly expiry, its notices and the
-- statement of expiring points, which ask for one tenant's days; what is left is not part of it,
-- since that changes with every payment.
--
-- owner: ledger
-- rights: select, insert, update, delete
CREATE TABLE points_lots (
  account_id BINARY(16) NOT NULL,
  expired_from DATE NOT NULL COMMENT 'first day on which they can no longer be used (UTC+8); 9999-12-31: never',
  tenant_id INT UNSIGNED NOT NULL,
  granted BIGINT NOT NULL COMMENT 'points that ever came into it',
  remaining BIGINT NOT NULL COMMENT 'points that are left',
  expired BIGINT NOT NULL COMMENT 'points that expired in it',
  given_back BIGINT NOT NULL DEFAULT 0 COMMENT 'of these: counted as given back by refunds',
  granted_on DATE NOT NULL COMMENT 'the last day on which points came into it (UTC+8)',
  PRIMARY KEY (account_id, expired_from),
  KEY points_lots_expiry (tenant_id, expired_from, account_id),
  CONSTRAINT points_lots_remaining CHECK (remaining >= 0 AND remaining <= granted),
  CONSTRAINT points_lots_given_back CHECK (given_back >= 0 AND given_back <= expired)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
