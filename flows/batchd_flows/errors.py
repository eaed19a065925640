"""The base of every error this package raises; a leaf lives beside the noun it is about.

FlowsError
├── job_types.JobTypeNotFound, job_types.ParameterError
├── command_lines.TemplateError
├── orchestrator_records.OrchestratorUnavailable, OrchestratorRefused, PoolOfAnotherType,
│   Gone (RunGone, DeploymentGone, PoolGone), StateRefused (ClaimRefused)
├── flow_command.CommandFailed, flow_host.HostNotUsable, type_flow.NotAFlowParameter
├── dispatched_flow.RunOutsideDispatcher, worker.RunNotForPolling
├── server_settings.ServerError (AuthStringUnusable; server.PortTaken, server.ServerDidNotStart)
├── versions.BrokenVersions
├── patience.MachineLost
└── supervisor.SupervisorError (MachineUnreachable (MachineRefused))
"""


class FlowsError(Exception):
    """Something on the Prefect side, or in a run, is not as asked."""
