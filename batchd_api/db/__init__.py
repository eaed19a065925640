"""Our own database: its tables and how a transaction is opened."""
