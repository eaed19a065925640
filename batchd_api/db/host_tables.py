"""The tables of hosts: what is known of each machine, and what people have asked about it.

Who uses a host is not here: the living attempts and the jobs whose turn has come say that themselves.
"""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Integer, String, Table, Text

from batchd_api.db.tables import BIG_ID, UtcDateTime, metadata

hosts = Table(
    "hosts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("phase", String(16), nullable=False),  # off, starting, ready, stopping, failed
    Column("carer", Text),  # the dispatcher that starts and stops it
    Column("ours", Boolean, nullable=False, server_default="0"),  # we started it; written before the start
    Column("controller", Text),  # by which we started it, and what it is called there: files come and go
    Column("controller_id", Text),
    Column("since", UtcDateTime),  # in this phase
    Column("idle_since", UtcDateTime),  # no job since then
    Column("failures", Integer, nullable=False, server_default="0"),  # since it was ready last
    Column("next_try", UtcDateTime),
    Column("trouble", Text),  # why it failed, as people read it
    Column("alarm", Text),  # a machine of ours that does not stop
    Column("draining", Boolean, nullable=False, server_default="0"),  # takes no new jobs
    Column("wish", String(8)),  # what a person has asked for and is not done yet: start, stop
    Column("address", Text),  # where the controller says it is; null = the host's own host_name
    Column("host_keys", JSON(none_as_null=True)),  # that the controller vouches for
    Column("fault", Text),  # what fails its jobs: a host key, a login, a start-up command
    Column("fault_output", Text),
)

host_tests = Table(
    "host_tests",
    metadata,
    # Asked by the manager, carried out by a dispatcher.
    Column("id", BIG_ID, primary_key=True),
    Column("host_name", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("carer", Text),  # the dispatcher that carries it out
    Column("ended_at", UtcDateTime),
    Column("steps", JSON(none_as_null=True)),  # list of {"step", "ok", "text"}
    sqlite_autoincrement=True,
)
