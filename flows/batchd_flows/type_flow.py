"""A job type as a Prefect flow, for flows of your own and for a stock Prefect without batchd's database.

from prefect import flow
from batchd_flows import job_flow

@flow
def night():
    job_flow("blender")(input="scene.blend", output="frame.png")       # runs here, now
    job_flow("blender").submit_to("night", input="scene.blend").wait()  # waits in batchd's queue
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from batchd_cli.client import Client, JobHandle
from batchd_flows.errors import FlowsError
from batchd_flows.file_parameters import require_inputs
from batchd_flows.flow_command import CommandResult, FlowSettings, launch_of, run_command
from batchd_flows.flow_host import FlowHosts, run_on_host
from batchd_flows.job_types import JobType, Parameter, ParameterType, load_job_types
from batchd_flows.local_machine import LocalMachine
from batchd_infra.config_files import config_folders, explicit_config, read_config
from batchd_infra.controllers import Controllers
from batchd_infra.hosts import Hosts

_NO_HOSTS = FlowHosts(hosts=Hosts(), controllers=Controllers())
KNOWN_HOSTS_FILE = "known_hosts"  # of the state folder, as the daemon has it
FOLDER_VARIABLE = "BATCHD_FLOW_FOLDER"
_ANNOTATIONS: Mapping[ParameterType, type] = {
    ParameterType.INTEGER: int,
    ParameterType.INPUT_FILE: Path,
    ParameterType.OUTPUT_FILE: Path,
}


class NotAFlowParameter(FlowsError):
    """Two parameters of a job type would have the same name in Python."""

    def __init__(self, type_name: str, name: str) -> None:
        super().__init__(
            f"job type {type_name!r}: two parameters are spelled {name!r} in Python; rename one of them"
        )


class TypeFlow(Flow[..., CommandResult]):
    """Called, it runs the command where it is called and returns its CommandResult; see `job_flow`."""

    job_type: JobType

    def submit_to(
        self,
        queue: str,
        *,
        client: Client | None = None,
        host: str | None = None,
        start_time: datetime | None = None,
        notes: str | None = None,
        **parameters: Any,
    ) -> JobHandle:
        """Enqueue a job of this type instead; `.wait()` for it, or `.follow()` it.

        `client` None: the manager of `client.yaml` and the BATCH_* variables, as for `batch`.
        Errors: batchd_cli.errors.
        """
        names = spelled(self.job_type)
        unknown = sorted(set(parameters) - set(names))
        if unknown:
            raise TypeError(f"job type {self.job_type.name!r} has no parameter {', '.join(unknown)}")
        texts = {names[name].name: str(value) for name, value in parameters.items() if value is not None}
        return (client or Client.configured()).enqueue(
            queue, self.job_type.name, texts, host_name=host, start_time=start_time, notes=notes
        )


def job_flow(name: str, *, config: Path | None = None) -> TypeFlow:
    """The job type NAME of the configuration as a flow.

    Its parameters are those of the type, `-` and `.` spelled `_`: integers, paths and texts. `config` names
    another `batchd.yaml`, beside which `jobtypes/` lies. `on_fail: retry` becomes the flow's retries.
    A type with a host runs there. Errors: JobTypeNotFound, ConfigError; at the call ParameterError,
    TemplateError, CommandFailed, and for a host HostNotFound, ControllerNotFound, HostNotUsable.
    """
    folders = config_folders(config, os.environ)
    job_types, _problems = load_job_types(folders)
    job_type = job_types.get(name)
    hosts = None if job_type.host_name is None else FlowHosts.load(folders, _known_hosts(config, folders))
    return type_flow(job_type, _settings(config, folders), hosts)


def type_flow(job_type: JobType, settings: FlowSettings, hosts: FlowHosts | None = None) -> TypeFlow:
    """The flow of a job type that is at hand already. `hosts` is needed where the type has one."""
    names = spelled(job_type)

    def run_job_type(**given: Any) -> CommandResult:
        texts = {names[key].name: _text(value) for key, value in given.items() if value is not None}
        logger = get_run_logger()
        folder = _folder() / _run_name()
        if job_type.host_name is not None:
            return run_on_host(job_type, texts, folder, settings, hosts or _NO_HOSTS, logger.log)
        require_inputs(job_type, texts, folder=job_type.working_directory)
        launch = launch_of(job_type, texts, folder, settings)
        return run_command(job_type.name, launch, LocalMachine(), logger.log)

    run_job_type.__signature__ = _signature(names)  # type: ignore[attr-defined]
    run_job_type.__annotations__ = {name: _annotation(parameter) for name, parameter in names.items()}
    run_job_type.__doc__ = f"{job_type.title or job_type.name}: the job type {job_type.name} of batchd."
    retries = job_type.on_fail.count if job_type.on_fail.when else 0
    flow = TypeFlow(run_job_type, name=job_type.name, retries=retries, persist_result=False)
    flow.job_type = job_type
    return flow


def spelled(job_type: JobType) -> dict[str, Parameter]:
    """Python's spelling of each parameter. Raises NotAFlowParameter."""
    names: dict[str, Parameter] = {}
    for parameter in job_type.params:
        name = parameter.name.replace("-", "_").replace(".", "_")
        name = name if name.isidentifier() else f"p_{name}"
        if name in names:
            raise NotAFlowParameter(job_type.name, name)
        names[name] = parameter
    return names


def _signature(names: Mapping[str, Parameter]) -> inspect.Signature:
    return inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=_annotation(parameter),
                default=_default(parameter),
            )
            for name, parameter in names.items()
        ]
    )


def _annotation(parameter: Parameter) -> Any:
    kind = _ANNOTATIONS.get(parameter.type, str)
    return kind if parameter.default else kind | None


def _default(parameter: Parameter) -> Any:
    """None: not given; the installation's variables may still fill it."""
    if not parameter.default:
        return None
    return _ANNOTATIONS.get(parameter.type, str)(parameter.default)


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _folder() -> Path:
    """Where commands keep their files while they run."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named)
    folder = _state_folder() / "flow-runs"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _state_folder() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "batchd"


def _run_name() -> str:
    """The same for the same run and try: started twice, it runs once."""
    return f"{flow_run.get_id()}.{flow_run.get_run_count()}"


def _known_hosts(config: Path | None, folders: tuple[Path, ...]) -> Path:
    """Where `batchd-admin trust-host` writes, for the user who runs the flow."""
    path = _config_file(config, folders)
    state = read_config(path).text("state_directory") if path is not None else None
    if state is None and os.geteuid() == 0 and not os.environ.get("XDG_STATE_HOME"):
        state = "/var/lib/batchd"
    folder = Path(state).expanduser() if state else _state_folder()
    if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
        folder = _state_folder()  # it is the daemon's, which is somebody else
    return folder / KNOWN_HOSTS_FILE


def _config_file(config: Path | None, folders: tuple[Path, ...]) -> Path | None:
    named = explicit_config(config, os.environ)
    places = [named] if named else [folder / "batchd.yaml" for folder in folders]
    return next((place for place in places if place.is_file()), None)


def _settings(config: Path | None, folders: tuple[Path, ...]) -> FlowSettings:
    """Of `batchd.yaml` the two keys that commands depend on; the rest is the daemon's."""
    path = _config_file(config, folders)
    if path is None:
        return FlowSettings(environment=dict(os.environ))
    fields = read_config(path)
    return FlowSettings(
        variables=fields.text_map("variables"),
        default_syntax=fields.text("default_template_syntax") or "Shell",
        environment=dict(os.environ),
    )
