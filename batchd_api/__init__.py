"""The batchd side: users, queues, schedules and jobs, their database, the REST facade, planner and mirror."""
