-- The days of refunds that were made before they were counted: verification wants a row for everybody who ever gave something back alone. An id begins with its milliseconds.
INSERT INTO staff_refunds (staff_id, tenant_id, day, alone_fen, version)
SELECT UNHEX(SUBSTR(made.requested_by, 4)), made.tenant_id, made.day, SUM(made.amount_fen), 1
FROM (SELECT requested_by, tenant_id, amount_fen, DATE(TIMESTAMP('1970-01-01 08:00:00') + INTERVAL (CONV(HEX(SUBSTR(id, 1, 6)), 16, 10) DIV 1000) SECOND) AS day
      FROM refunds WHERE approved_by IS NULL AND state <> 1 AND requested_by LIKE 'st\_%') made
JOIN (SELECT requested_by, MAX(DATE(TIMESTAMP('1970-01-01 08:00:00') + INTERVAL (CONV(HEX(SUBSTR(id, 1, 6)), 16, 10) DIV 1000) SECOND)) AS day
      FROM refunds WHERE approved_by IS NULL AND state <> 1 AND requested_by LIKE 'st\_%' GROUP BY requested_by) latest
  ON latest.requested_by = made.requested_by AND latest.day = made.day
GROUP BY made.requested_by, made.tenant_id, made.day
