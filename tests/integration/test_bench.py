"""Every measurement works, with small numbers, and says what it is held against; no time is asserted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from bench.figures import Figure
from bench.run import MEASURES
from bench.site import Site, site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STOCK = "stock process worker"
CALLS = "bare Pending, Running, Completed calls"
BARE = "bare Prefect server and one worker"
ALONE = ""  # a bound of its own
# What is measured and against what: the beginnings of both, in order.
CLAIMS: dict[str, list[tuple[str, str]]] = {
    "throughput": [
        ("jobs that run `true`, limit 1, until all are done", STOCK),
        ("jobs that run `true`, limit 1, until all are Completed in Prefect", STOCK),
        ("jobs that run `true`, limit 4, until all are done", STOCK),
        ("jobs that run `true`, limit 4, until all are Completed in Prefect", STOCK),
        ("from the end of a job to the start of the next, p50", ALONE),
        ("the same, limit 4, best of 1, until all are done", CALLS),
        ("the same, limit 4, best of 1, until all are Completed in Prefect", CALLS),
        ("the same, limit 4, best of 1, until all are Completed in Prefect", "the same bare calls"),
    ],
    "latency": [
        ("from the enqueue's answer to the command, p50", STOCK),
        ("the same, p95", STOCK),
    ],
    "memory": [("memory that a running job adds, 4 at once (PSS)", STOCK)],
    "enqueues": [
        ("enqueues, one client, 100 waiting", "create_flow_run"),
        ("the same, p95", ALONE),
        ("enqueues, 8 clients without an error, p95", ALONE),
    ],
    "waiting": [
        ("GET /stats, 1000 waiting", "100 waiting"),
        ("the first page of a list, 1000 waiting", "100 waiting"),
        ("a decision of the planner, 1000 waiting", "100 waiting"),
        ("Prefect shows the first 300 of 1000 waiting after", "the longest lag that /metrics said"),
    ],
    "output": [
        ("a job that writes 10000 lines meanwhile", "the same command to a file"),
        ("the memory of daemon and supervisor grows by (PSS)", ALONE),
        ("readable in full after its end in", ALONE),
        ("2 MB from /job/:id/output", "cat through a socket"),
    ],
    "command-line": [("`batch ls` with 50 jobs", "import click, urllib.request, json")],
    "daemon": [
        ("from start to ready, second start", BARE),
        ("idle memory (PSS)", BARE),
        ("idle processor, 10 queues", BARE),
    ],
    "transfer": [
        ("one big file to a host", "scp"),
        ("20 files of 10 kB to a host", "sftp -b"),
        ("the same", "scp -r"),
    ],
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One installation and one stock server for all."""
    with site(tmp_path_factory.mktemp("bench"), quick=True) as made:
        yield made


def test_every_measurement_has_its_claims() -> None:
    assert CLAIMS.keys() == MEASURES.keys()


@pytest.mark.parametrize("name", CLAIMS)
def test_a_measurement_compares_what_it_says(name: str, shared: Site) -> None:
    if name == "transfer" and shutil.which("scp") is None:
        pytest.skip("there is no OpenSSH client on this machine")
    figures = list(MEASURES[name](shared))
    assert [figure.what for figure in figures] == [what for what, _ in CLAIMS[name]]
    for figure, (_, against) in zip(figures, CLAIMS[name], strict=True):
        assert figure.against.startswith(against)
        assert (figure.target != "", figure.met is not None) == (True, True)
        if figure.ratio:
            assert_is_the_ratio(figure)


def assert_is_the_ratio(figure: Figure) -> None:
    """Of the two numbers beside it, which are in the same unit; each is rounded to three digits."""
    ours, unit = figure.ours.split(" ", 1)
    theirs, other_unit = figure.against.rpartition(": ")[2].split(" ", 1)
    assert unit == other_unit
    assert float(ours) > 0
    assert float(theirs) > 0
    assert float(figure.ratio.removesuffix(" ×")) == pytest.approx(float(ours) / float(theirs), rel=0.02)
