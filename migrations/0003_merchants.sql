-- Who sells. Made when a merchant registers, changed when an operator decides on it and when its
-- sharing rule is set.
-- sub_mchid is WeChat's number of the merchant, known from its approval on; sub_mchid_under is the
-- account of ours (sp_mchid) under which it has that number. Under one account a number is one
-- merchant, also where several tenants share the account, or nobody could say whose a line of
-- WeChat's bill is. A suspended merchant keeps its number: refunds of what was paid to it go there.
-- sub_mchid_under is NULL while there is no number, and where a tenant collects for itself: then
-- all its merchants have the tenant's own number.
-- Key: an id in time order.
--
-- owner: merchants
-- rights: select, insert, update
CREATE TABLE merchants (
  id BINARY(16) NOT NULL,
  tenant_id INT UNSIGNED NOT NULL,
  name VARCHAR(200) NOT NULL,
  contact_name VARCHAR(100) NOT NULL,
  contact_phone VARCHAR(32) NOT NULL,
  business_license VARCHAR(100) NOT NULL,
  address VARCHAR(500) NOT NULL,
  sub_mchid VARCHAR(32) NULL,
  sub_mchid_under VARCHAR(32) NULL,
  state VARCHAR(16) NOT NULL COMMENT 'pending, approved, rejected, suspended',
  state_reason VARCHAR(200) NULL,
  sharing TINYINT NOT NULL DEFAULT 0 COMMENT '1: others get a share of what it collects, so its orders are made with the money frozen',
  created_at DATETIME(6) NOT NULL,
  updated_at DATETIME(6) NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY merchants_sub_mchid (sub_mchid_under, sub_mchid),
  KEY merchants_state (tenant_id, state, id),
  CONSTRAINT merchants_approved_with_number CHECK (state <> 'approved' OR sub_mchid IS NOT NULL)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
