-- A budget's version counts the payments that drew on it, of all customers of a tenant: INT UNSIGNED is full after 50 days of a thousand a second.
ALTER TABLE point_budgets MODIFY version BIGINT UNSIGNED NOT NULL
