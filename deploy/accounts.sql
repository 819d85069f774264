-- Run once, when the database of compose.yaml is empty.
-- No passwords: these accounts exist only for the socket, and the socket lies in a volume that only our containers mount.
CREATE DATABASE zhangfang CHARACTER SET utf8mb4;
-- Changes tables, at migration only.
CREATE USER 'zhangfang_owner'@'localhost';
GRANT ALL PRIVILEGES ON `zhangfang`.* TO 'zhangfang_owner'@'localhost' WITH GRANT OPTION;
-- The service. `zhangfang migrate` grants it what it needs, table by table: it may not change or delete what is booked.
CREATE USER 'zhangfang'@'localhost';
