-- One shop for one number under one account, also where several platforms share the account. A suspended shop keeps its number: refunds of what was paid to it go there.
ALTER TABLE merchants
  ADD UNIQUE KEY merchants_sub_mchid (sub_mchid_under, sub_mchid)
