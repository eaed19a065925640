"""Every step the database's shape has taken. Shipped in the wheel as `batchd_migrations`; Alembic runs it."""
