"""Which files a job may name: said when it is enqueued or changed, and looked at again when it starts.

Outside of any transaction: a folder may lie on a disk that takes its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select

from batchd_api.db.tables import jobs, queues
from batchd_api.errors import Invalid
from batchd_api.schemas import JobChange, NewJob
from batchd_api.services.ground import Ground, sentence_of
from batchd_api.services.places import place_of
from batchd_flows.file_parameters import FILES, require_files
from batchd_flows.job_types import JobType, ParameterError
from batchd_infra.file_roots import FileForbidden


def require_files_of_new(ground: Ground, queue_name: str, job_type: JobType, new: NewJob) -> None:
    """Raises Invalid."""
    if new.working_directory is None and not _names_files(job_type, new.params):
        return
    with ground.database.read() as connection:
        query = select(queues.c.host_name).where(queues.c.name == queue_name)
        queue_host = connection.execute(query).scalar_one_or_none()
    _require(ground, job_type, new.params, new.working_directory, (new.host_name, queue_host))


def require_files_of_change(ground: Ground, job_id: int, change: JobChange) -> None:
    """Raises Invalid. A job or type that is not there is for others to tell."""
    if change.params is None and change.values.get("working_directory") is None:
        return
    columns = (jobs.c.type_name, jobs.c.params, jobs.c.working_directory, jobs.c.host_name)
    query = select(*columns, queues.c.host_name.label("queue_host")).join_from(jobs, queues)
    with ground.database.read() as connection:
        row = connection.execute(query.where(jobs.c.id == job_id)).mappings().one_or_none()
    if row is None or row["type_name"] not in ground.job_types:
        return
    params = row["params"] if change.params is None else change.params
    folder = change.values.get("working_directory", row["working_directory"])
    hosts = (change.values.get("host_name", row["host_name"]), row["queue_host"])
    _require(ground, ground.job_types.get(row["type_name"]), params, folder, hosts)


def _names_files(job_type: JobType, given: Mapping[str, Any]) -> bool:
    return any(given.get(parameter.name) for parameter in job_type.params if parameter.type in FILES)


def _require(
    ground: Ground,
    job_type: JobType,
    params: Mapping[str, Any],
    folder: str | None,
    hosts: tuple[str | None, str | None],
) -> None:
    job_host, queue_host = hosts
    is_here = place_of(job_host, job_type.host_name, queue_host).name is None
    try:
        if folder is not None and is_here:
            ground.file_roots.require_working_directory(Path(folder))
        texts = {name: value for name, value in params.items() if isinstance(value, str)}
        # Files for another machine are copied from here, where its folders say nothing.
        base = (folder or job_type.working_directory) if is_here else None
        require_files(job_type, texts, ground.file_roots, folder=base)
    except FileForbidden as error:
        raise Invalid(f"The working directory {error.sentence}.") from error
    except ParameterError as error:
        raise Invalid(sentence_of(error)) from error
