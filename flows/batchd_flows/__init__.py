"""The Prefect side: job types as flows, queues as work pools, and the supervisor that runs a command."""
