-- "Why was this customer stopped?" is the question people ask most of decisions, and the one that a scan by time cannot answer.
ALTER TABLE risk_decisions
  ADD KEY risk_decisions_customer (customer_id, decided_at)
