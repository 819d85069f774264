-- For people who look into the database: each side of each transfer, seen from its account.
--
-- owner: ledger
-- rights: select
CREATE VIEW postings AS
SELECT tenant_id, entry_id, leg, phase, debit_account AS account_id, 'debit' AS side, amount,
       CASE constrained_side WHEN 1 THEN balance_after END AS balance_after, created_at
FROM transfers
UNION ALL
SELECT tenant_id, entry_id, leg, phase, credit_account, 'credit', amount,
       CASE constrained_side WHEN 2 THEN balance_after END, created_at
FROM transfers
