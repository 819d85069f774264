-- What is set aside already: pending transfers out of a customer's points that nothing has resolved.
INSERT INTO point_holds (account_id, set_aside_on, tenant_id, held)
SELECT p.debit_account, DATE(p.created_at + INTERVAL 8 HOUR), p.tenant_id, SUM(p.amount)
FROM transfers p
LEFT JOIN transfers r
  ON r.entry_id = CONCAT(SUBSTR(p.entry_id, 1, 15), CHAR(ORD(SUBSTR(p.entry_id, 16, 1)) | 128 USING binary)) AND r.leg = p.leg
WHERE p.phase = 1 AND p.checked_side = 1 AND r.entry_id IS NULL
GROUP BY p.debit_account, DATE(p.created_at + INTERVAL 8 HOUR), p.tenant_id
