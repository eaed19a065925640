"""The base of every error this package raises; a leaf lives beside the noun it is about.

FlowsError
├── job_types.JobTypeNotFound, job_types.ParameterError
├── command_lines.TemplateError
├── orchestrator.OrchestratorUnavailable, RunGone, ClaimRefused, …
├── server.ServerError
└── supervisor.SupervisorError
"""


class FlowsError(Exception):
    """Something on the Prefect side, or in a run, is not as asked."""
