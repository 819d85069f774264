-- Shops. sub_mchid is WeChat's number of the shop, known from its approval on.
CREATE TABLE merchants (
  id BINARY(16) NOT NULL PRIMARY KEY,
  tenant_id INT UNSIGNED NOT NULL,
  name VARCHAR(200) NOT NULL,
  contact_name VARCHAR(100) NOT NULL,
  contact_phone VARCHAR(32) NOT NULL,
  business_license VARCHAR(100) NOT NULL,
  address VARCHAR(500) NOT NULL,
  sub_mchid VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  state VARCHAR(16) NOT NULL COMMENT 'pending, approved, rejected, suspended',
  state_reason VARCHAR(200) NULL,
  created_at DATETIME(6) NOT NULL,
  updated_at DATETIME(6) NOT NULL,
  KEY merchants_state (tenant_id, state, id),
  CONSTRAINT merchants_approved_with_number CHECK (state <> 'approved' OR sub_mchid IS NOT NULL)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
