-- Prefect's database beside batchd's; Prefect makes the extension pg_trgm in it.
CREATE DATABASE prefect;
