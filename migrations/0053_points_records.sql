-- For people who look into the database: the customer's side of the points ledger, in the words in
-- which customers read it. `points/change_types.rs` makes the service's own statements; a test compares
-- the two.
--
-- owner: points
-- rights: select
CREATE VIEW points_records AS
SELECT t.entry_id AS id,
       t.tenant_id,
       CONCAT(SUBSTR(t.constrained_account, 1, 15), x'00') AS user_id,
       CASE WHEN t.entry_kind IN (1, 9, 16) THEN CONCAT(SUBSTR(t.entry_id, 1, 15), x'00') END AS order_id,
       CASE t.constrained_side WHEN 2 THEN t.amount ELSE -t.amount END AS points_change,
       t.balance_after AS points_balance,
       t.account_version AS version,
       CASE WHEN SUBSTR(t.debit_account, 16, 1) = x'24' THEN 'shortfall'
         WHEN SUBSTR(t.credit_account, 16, 1) = x'24' THEN 'repay'
         ELSE CASE t.entry_kind
           WHEN 1 THEN 'earn'
           WHEN 2 THEN 'adjust'
           WHEN 3 THEN 'refund'
           WHEN 4 THEN 'refund'
           WHEN 5 THEN 'refund'
           WHEN 6 THEN 'other'
           WHEN 7 THEN 'other'
           WHEN 8 THEN 'other'
           WHEN 30 THEN 'other'
           WHEN 9 THEN CASE t.phase WHEN 0 THEN 'credited' WHEN 1 THEN 'held' WHEN 3 THEN 'voided' ELSE 'credited' END
           WHEN 10 THEN CASE t.phase WHEN 0 THEN 'award' WHEN 1 THEN 'held' WHEN 3 THEN 'voided' ELSE 'credited' END
           WHEN 11 THEN 'deduct'
           WHEN 12 THEN CASE t.phase WHEN 0 THEN 'redeem' WHEN 1 THEN 'hold' WHEN 3 THEN 'release' ELSE 'redeem' END
           WHEN 13 THEN 'redeem'
           WHEN 14 THEN 'expire'
           WHEN 15 THEN 'repay'
           WHEN 16 THEN 'credited'
           WHEN 17 THEN 'credited'
           WHEN 18 THEN 'return'
           WHEN 20 THEN 'refund'
           ELSE 'other' END END AS change_type,
       CASE t.phase WHEN 0 THEN 'posted' WHEN 1 THEN 'pending' WHEN 2 THEN 'posted' ELSE 'voided' END AS state,
       t.created_at
FROM transfers t
WHERE t.constrained_side <> 0
