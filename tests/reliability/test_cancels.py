"""Each way to end a running job ends its whole tree, and only then another takes its slot. FAULTS.md: H7."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batchd_api.permissions import Grant, Right
from batchd_api.services.users import Users, grant
from batchd_cli.client import Client, basic
from batchd_cli.errors import Forbidden
from tests.acceptance.harness import until
from tests.ground import quick_passwords
from tests.prefect_server import PrefectServer
from tests.reliability.harness import Site, site

pytestmark = pytest.mark.slow

GRACE_SECONDS = 1  # of the type `brief`
END_SECONDS = GRACE_SECONDS + 5
STUBBORN = "trap '' TERM HUP INT"
PASSWORD = "a password of hers"


@pytest.fixture(scope="module")
def here(prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("cancels"), prefect_server) as here:
        users = Users(here.database, quick_passwords(), lambda: datetime.now(UTC))
        for name in ("ann", "bob"):
            users.create(name, PASSWORD)
        with here.database.write() as connection:
            grant(connection, "ann", Grant(right=Right.MANAGE_JOBS))
            grant(connection, "bob", Grant(right=Right.VIEW_JOBS))
            grant(connection, "bob", Grant(right=Right.CREATE_JOBS))
        here.start().ready()
        yield here


def by(here: Site, name: str) -> Client:
    return Client(here.url, auth=basic(name, PASSWORD))


def over_http(here: Site, job_id: int) -> None:
    with by(here, "bob") as client, pytest.raises(Forbidden):
        client.cancel_job(job_id)
    with by(here, "ann") as client:
        client.cancel_job(job_id)


def with_batch(here: Site, job_id: int) -> None:
    another = here.ask("sleep 300")
    here.status(another, "Processing")
    here.batch("cancel", str(job_id), str(another))
    assert here.status(another, "Failed").reason_text == "cancelled by root"


def in_prefects_ui(here: Site, job_id: int) -> None:
    (run,) = here.flow_runs(job_id)
    asked = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    here.prefect(f"/flow_runs/{run['id']}/set_state", asked)
    until(30, "somebody notices", lambda: any(row.cancel_requested_at for row in here.attempts(job_id)))


def by_deletion(here: Site, job_id: int) -> None:
    here.accepted.remove(job_id)
    with by(here, "ann") as client:
        client.delete_job(job_id)


@dataclass
class Tree:
    """A job whose shell, child and orphan ignore TERM. The orphan forked twice and left the session."""

    here: Site
    queue: str

    def __post_init__(self) -> None:
        self._pids = self.here.folder / f"pids-{self.queue}"
        orphan = f'(setsid sh -c "{STUBBORN}; echo \\$\\$ >> {self._pids}; exec sleep 300" &)'
        script = f"{STUBBORN}; echo $$ >> {self._pids}; {orphan}; sleep 300 & echo $! >> {self._pids}; wait"
        self.job_id = self.here.witness(between=script, queue=self.queue, type_name="brief")
        until(30, "all three", lambda: len(self.pids()) == 3)

    def pids(self) -> list[int]:
        return [int(word) for word in self._pids.read_text().split()] if self._pids.exists() else []

    def lives(self) -> bool:
        return any(is_alive(pid) for pid in self.pids())

    def successor(self) -> int:
        """The next job of its queue: fails where it finds something of this one."""
        looks = (
            f"for pid in $(cat {self._pids}); do ! grep -qs '^State:.[^ZX]' /proc/$pid/status || exit 9; done"
        )
        return self.here.witness(between=looks, queue=self.queue)


def is_alive(pid: int) -> bool:
    """Not one that only waits to be buried."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


@pytest.mark.parametrize(
    ("way", "said"),
    [
        (over_http, "cancelled by ann"),
        (with_batch, "cancelled by root"),
        (in_prefects_ui, "cancelled by a person in Prefect"),
        (by_deletion, None),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_h7_the_whole_tree_ends_in_time_and_then_the_slot_is_free(
    here: Site, way: Callable[[Site, int], None], said: str | None
) -> None:
    here.queue(way.__name__, max_jobs=1)
    tree = Tree(here, way.__name__)
    after = tree.successor()
    way(here, tree.job_id)
    began = time.monotonic()
    until(END_SECONDS, f"the end of {tree.pids()}", lambda: not tree.lives())
    assert here.status(after, "Done").try_count == 0
    assert here.starts(after) == [after]
    print(f"{way.__name__}: {time.monotonic() - began:.1f} s until all was gone and the next one done")
    if said is None:
        until(30, "its last trace to go", lambda: not here.attempts(tree.job_id))
        until(30, "its run to go", lambda: not here.flow_runs(tree.job_id))
        return
    job = here.status(tree.job_id, "Failed")
    assert (job.reason_code, job.reason_text) == ("cancelled", said)
    here.states(tree.job_id, "Cancelled")
