"""The planner: order, limits, windows and reasons."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchd_api.planner import (
    BusyView,
    DispatcherView,
    HostState,
    HostView,
    JobView,
    Plan,
    QueueView,
    Start,
    World,
    plan,
)
from batchd_api.statuses import Reason, ReasonCode
from batchd_flows.windows import Period, Schedule, is_open

ZONE = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 24, 11, 0, tzinfo=UTC)  # a Tuesday, 12:00 in Berlin
ALWAYS = Schedule(name="always")
NIGHT = Schedule(name="night", periods=(Period(begin=time(22), end=time(6)),))
DAY = Schedule(name="day", periods=(Period(begin=time(8), end=time(18)),))
NEVER = Schedule(name="never", weekdays=frozenset())
HERE = DispatcherView(name="here", workers=4)


def queue(name: str = "default", **fields: Any) -> QueueView:
    return QueueView(**({"name": name, "enabled": True, "schedule": ALWAYS} | fields))


def job(number: int, queue_name: str = "default", **fields: Any) -> JobView:
    return JobView(
        **({"id": number, "queue_name": queue_name, "seq": number, "type_name": "command"} | fields)
    )


def busy(job_id: int, queue_name: str = "default", **fields: Any) -> BusyView:
    named = {"job_id": job_id, "queue_name": queue_name, "type_name": "command", "dispatcher": "here"}
    return BusyView(**(named | fields))


def world(*jobs: JobView, **fields: Any) -> World:
    defaults: dict[str, Any] = {"now": NOON, "zone": ZONE, "queues": [queue()], "dispatchers": [HERE]}
    return World(**(defaults | {"jobs": jobs} | fields))


def started(decision: Plan) -> list[int]:
    return [start.job_id for start in decision.starts]


def code(decision: Plan, job_id: int) -> ReasonCode:
    return decision.reasons[job_id].code


# --- order ---


def test_jobs_start_in_the_order_of_seq_not_of_id_or_arrival():
    jobs = [job(1, seq=30), job(2, seq=10), job(3, seq=20)]
    assert started(plan(world(*jobs, dispatchers=[DispatcherView(name="here", workers=2)]))) == [2, 3]


def test_twenty_jobs_at_limit_one_start_one_by_one_in_order():
    jobs = [job(n, seq=100 - n) for n in range(1, 21)]
    order = []
    while jobs:
        decision = plan(world(*jobs, queues=[queue(max_jobs=1)]))
        assert len(decision.starts) == 1
        order += started(decision)
        jobs = [waiting for waiting in jobs if waiting.id not in order]
    assert order == list(range(20, 0, -1))


def test_a_job_before_its_start_time_lets_others_pass_and_takes_its_place_by_seq_when_it_comes():
    early = job(1, start_time=NOON + timedelta(minutes=5))
    seen = world(early, job(2), queues=[queue(max_jobs=1)])
    assert started(plan(seen)) == [2]
    assert started(plan(replace(seen, now=NOON + timedelta(minutes=5)))) == [1]


def test_a_job_whose_host_is_full_is_passed_over():
    hosts = [HostView(name="gpu", max_jobs=1)]
    decision = plan(world(job(1, host_name="gpu"), job(2), busy=[busy(9, host_name="gpu")], hosts=hosts))
    assert started(decision) == [2]
    assert code(decision, 1) is ReasonCode.HOST_FULL


def test_the_queue_that_has_waited_longest_has_the_next_turn():
    queues = [queue("a", last_start=NOON), queue("b", last_start=NOON - timedelta(hours=1)), queue("c")]
    jobs = [job(1, "a"), job(2, "b"), job(3, "c")]
    one = DispatcherView(name="here", workers=1)
    assert started(plan(world(*jobs, queues=queues, dispatchers=[one]))) == [3]
    assert started(plan(world(*jobs[:2], queues=queues, dispatchers=[one]))) == [2]


def test_queues_take_turns_within_one_plan():
    jobs = [job(1, "a"), job(2, "a"), job(3, "b"), job(4, "b")]
    assert started(plan(world(*jobs, queues=[queue("a"), queue("b")]))) == [1, 3, 2, 4]


# --- hosts that must be got ready ---

OFF = HostView(name="vm", state=HostState.COMING, text="host vm is being started")


def test_a_job_whose_host_is_off_holds_its_turn_and_takes_no_worker():
    one = DispatcherView(name="here", workers=1)
    decision = plan(world(job(1, host_name="vm"), job(2), hosts=[OFF], dispatchers=[one]))
    assert started(decision) == [2]
    assert decision.called == {1}
    assert decision.reasons[1].text == "host vm is being started"
    assert code(decision, 1) is ReasonCode.HOST_STARTING


def test_a_job_that_holds_its_turn_counts_against_the_queues_limit():
    jobs = [job(1, host_name="vm"), job(2)]
    decision = plan(world(*jobs, hosts=[OFF], queues=[queue(max_jobs=1)]))
    assert (started(decision), decision.called) == ([], {1})
    assert code(decision, 2) is ReasonCode.SLOTS


def test_a_called_job_is_not_overtaken_and_starts_first_when_its_host_is_ready():
    called, other = job(5, host_name="vm", called=True), job(1)
    seen = world(called, other, hosts=[OFF], queues=[queue(max_jobs=1)])
    assert (started(plan(seen)), plan(seen).called) == ([], {5})
    assert started(plan(replace(seen, hosts=[replace(OFF, state=HostState.READY)]))) == [5]


def test_a_called_job_whose_host_is_ready_keeps_its_turn_while_all_workers_are_busy():
    ready = replace(OFF, state=HostState.READY)
    one = DispatcherView(name="here", workers=1)
    decision = plan(
        world(job(5, host_name="vm", called=True), hosts=[ready], dispatchers=[one], busy=[busy(9)])
    )
    assert (started(decision), decision.called) == ([], {5})
    assert code(decision, 5) is ReasonCode.SLOTS


@pytest.mark.parametrize("state", [HostState.FAILED, HostState.DRAINING])
def test_a_called_job_lets_others_pass_when_its_host_failed_or_is_drained(state):
    host = HostView(name="vm", state=state, text="why", until=NOON + timedelta(minutes=5))
    jobs = [job(1, host_name="vm", called=True), job(2)]
    decision = plan(world(*jobs, hosts=[host], queues=[queue(max_jobs=1)]))
    assert (started(decision), decision.called) == ([2], frozenset())
    assert decision.reasons[1].until == NOON + timedelta(minutes=5)
    assert decision.look_again == NOON + timedelta(minutes=5)


def test_a_called_job_gives_its_turn_back_when_its_queue_is_disabled():
    decision = plan(world(job(1, host_name="vm", called=True), hosts=[OFF], queues=[queue(enabled=False)]))
    assert decision.called == frozenset()
    assert code(decision, 1) is ReasonCode.QUEUE_DISABLED


def test_a_queue_without_a_limit_holds_no_more_turns_than_there_are_workers():
    decision = plan(world(*(job(n, host_name="vm") for n in range(1, 8)), hosts=[OFF]))
    assert decision.called == {1, 2, 3, 4}
    assert [code(decision, n) for n in (5, 6)] == [ReasonCode.SLOTS, ReasonCode.POSITION]


def test_no_more_are_called_for_a_host_than_it_may_run():
    host = replace(OFF, max_jobs=2)
    decision = plan(world(*(job(n, host_name="vm") for n in range(1, 5)), hosts=[host]))
    assert decision.called == {1, 2}
    assert code(decision, 3) is ReasonCode.HOST_FULL


# --- limits ---


def test_two_on_the_host_and_three_of_the_type_means_two_at_once():
    jobs = [job(n, type_name="render", host_name="farm") for n in range(1, 7)]
    hosts = [HostView(name="farm", max_jobs=2)]
    decision = plan(
        world(
            *jobs,
            hosts=hosts,
            type_limits={"render": 3},
            dispatchers=[DispatcherView(name="here", workers=9)],
        )
    )
    assert started(decision) == [1, 2]
    assert code(decision, 3) is ReasonCode.HOST_FULL


def test_a_types_limit_counts_on_each_host_apart():
    jobs = [job(1, type_name="render", host_name="a"), job(2, type_name="render", host_name="a")]
    jobs += [job(3, type_name="render", host_name="b"), job(4, type_name="render")]
    hosts = [HostView(name="a"), HostView(name="b")]
    decision = plan(world(*jobs, hosts=hosts, type_limits={"render": 1}))
    assert started(decision) == [1, 3, 4]
    assert decision.reasons[2].text == "a runs 1 jobs of type render, its limit"


def test_without_a_host_each_dispatchers_machine_is_one_host_for_the_types_limit():
    jobs = [job(n, type_name="render") for n in (1, 2, 3)]
    dispatchers = [DispatcherView(name=name, workers=4) for name in ("one", "two")]
    decision = plan(world(*jobs, dispatchers=dispatchers, type_limits={"render": 1}))
    assert {start.dispatcher for start in decision.starts} == {"one", "two"}
    assert decision.reasons[3].text == "this machine runs 1 jobs of type render, its limit"


def test_the_limit_of_a_queue_counts_what_runs_already():
    decision = plan(world(job(1), job(2), queues=[queue(max_jobs=2)], busy=[busy(8)]))
    assert started(decision) == [1]


def test_a_job_goes_to_the_dispatcher_with_most_free_workers_that_serves_its_queue():
    dispatchers = [
        DispatcherView(name="other", workers=9, queues=frozenset({"b"})),
        DispatcherView(name="small", workers=1),
        DispatcherView(name="large", workers=3),
    ]
    decision = plan(world(job(1), dispatchers=dispatchers))
    assert decision.starts == (Start(job_id=1, dispatcher="large", host_name=None),)


# --- reasons ---


def test_window():
    decision = plan(world(job(1), queues=[queue(schedule=NIGHT)]))
    assert code(decision, 1) is ReasonCode.WINDOW
    assert decision.reasons[1].text == "night opens at 22:00"
    assert decision.reasons[1].until == datetime(2026, 11, 24, 21, 0, tzinfo=UTC)


def test_window_that_never_opens_knows_no_time():
    decision = plan(world(job(1), queues=[queue(schedule=NEVER)]))
    assert (code(decision, 1), decision.reasons[1].until) == (ReasonCode.WINDOW, None)
    assert decision.look_again is None


def test_queue_disabled():
    decision = plan(world(job(1), queues=[queue(enabled=False, schedule=NIGHT)]))
    assert code(decision, 1) is ReasonCode.QUEUE_DISABLED


def test_not_before():
    decision = plan(world(job(1, start_time=NOON + timedelta(hours=1))))
    assert code(decision, 1) is ReasonCode.NOT_BEFORE
    assert decision.reasons[1].text == "starts at 2026-11-24 13:00 at the earliest"
    assert decision.reasons[1].until == decision.look_again == NOON + timedelta(hours=1)


def test_slots_of_the_queue_and_position_behind():
    decision = plan(world(job(1), job(2), job(3), queues=[queue(max_jobs=1)]))
    assert started(decision) == [1]
    assert code(decision, 2) is ReasonCode.SLOTS
    assert decision.reasons[2].text == "queue default runs 1 of 1 jobs"
    assert code(decision, 3) is ReasonCode.POSITION


def test_slots_of_the_dispatchers():
    full = [busy(n, "other") for n in range(4)]
    decision = plan(world(job(1), busy=full, queues=[queue(), queue("other")]))
    assert decision.reasons[1].text == "all 4 workers are busy"


@pytest.mark.parametrize(
    ("hosts", "sentence"),
    [
        ([], "no file defines the host gpu"),
        ([HostView(name="gpu", state=HostState.FAILED, text="gpu is away")], "gpu is away"),
    ],
)
def test_host_failed(hosts, sentence):
    decision = plan(world(job(1, host_name="gpu"), hosts=hosts))
    assert (code(decision, 1), decision.reasons[1].text) == (ReasonCode.HOST_FAILED, sentence)


def test_no_dispatcher():
    elsewhere = DispatcherView(name="here", workers=4, queues=frozenset({"night"}))
    for dispatchers in ([], [elsewhere]):
        assert code(plan(world(job(1), dispatchers=dispatchers)), 1) is ReasonCode.NO_DISPATCHER


def test_prefect_down():
    decision = plan(world(job(1), prefect_down="Prefect does not answer: refused."))
    assert code(decision, 1) is ReasonCode.PREFECT_DOWN
    assert decision.reasons[1].text == "Prefect does not answer: refused."


# --- windows ---


def test_a_window_includes_its_begin_and_excludes_its_end():
    def starts_at(hour: int) -> bool:  # Berlin is an hour ahead
        seen = world(job(1), queues=[queue(schedule=NIGHT)], now=NOON.replace(hour=hour))
        return bool(plan(seen).starts)

    assert starts_at(21)
    assert not starts_at(5)


def test_a_job_that_runs_when_the_window_closes_keeps_its_slot():
    closed = world(job(1), queues=[queue(schedule=NIGHT, max_jobs=1)], busy=[busy(9)])
    assert code(plan(closed), 1) is ReasonCode.WINDOW
    reopened = replace(closed, now=NOON.replace(hour=22))
    assert code(plan(reopened), 1) is ReasonCode.SLOTS


def test_look_again_is_the_nearest_moment_at_which_time_alone_changes_the_answer():
    later = job(1, start_time=NOON + timedelta(hours=9))
    closing = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)
    assert plan(world(later, queues=[queue(schedule=DAY)])).look_again == closing
    assert plan(world(later)).look_again == later.start_time
    assert plan(world(job(1))).look_again is None
    assert plan(world(queues=[queue(schedule=DAY)])).look_again is None  # nothing waits there
    assert plan(world(job(1), queues=[queue(schedule=DAY, enabled=False)])).look_again is None


# --- properties ---

QUEUES = ("a", "b", "c")
HOSTS = ("gpu", "cpu", "gone")  # the last is defined by no file
TYPES = ("command", "render")


def queue_views(name: str) -> st.SearchStrategy[QueueView]:
    return st.builds(
        QueueView,
        name=st.just(name),
        enabled=st.sampled_from([True, True, False]),
        schedule=st.sampled_from([ALWAYS, ALWAYS, NIGHT, DAY, NEVER]),
        max_jobs=st.none() | st.integers(1, 3),
        last_start=st.none() | st.integers(0, 3).map(lambda hours: NOON - timedelta(hours=hours)),
    )


def dispatcher_views(name: str) -> st.SearchStrategy[DispatcherView]:
    served = st.none() | st.frozensets(st.sampled_from(QUEUES))
    return st.builds(DispatcherView, name=st.just(name), workers=st.integers(0, 4), queues=served)


def host_views(name: str) -> st.SearchStrategy[HostView]:
    return st.builds(
        HostView,
        name=st.just(name),
        max_jobs=st.none() | st.integers(1, 3),
        state=st.sampled_from([HostState.READY, *HostState]),
        text=st.just("a sentence"),
        until=st.none() | st.just(NOON + timedelta(minutes=5)),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    seqs = draw(st.lists(st.integers(-20, 20), unique=True, max_size=14))
    jobs = [
        JobView(
            id=number,
            queue_name=draw(st.sampled_from(QUEUES)),
            seq=seq,
            type_name=draw(st.sampled_from(TYPES)),
            start_time=draw(st.sampled_from([None, None, NOON, NOON + timedelta(hours=1)])),
            host_name=(host := draw(st.sampled_from([None, None, *HOSTS]))),
            called=host is not None and draw(st.sampled_from([True, False, False])),
        )
        for number, seq in enumerate(seqs)
    ]
    running = draw(
        st.lists(
            st.builds(
                BusyView,
                job_id=st.integers(100, 200),
                queue_name=st.sampled_from(QUEUES),
                type_name=st.sampled_from(TYPES),
                dispatcher=st.sampled_from(["one", "two", "dead"]),
                host_name=st.sampled_from([None, *HOSTS]),
            ),
            max_size=6,
        )
    )
    return World(
        now=NOON,
        zone=ZONE,
        queues=[draw(queue_views(name)) for name in QUEUES],
        jobs=jobs,
        busy=running,
        dispatchers=draw(st.tuples(dispatcher_views("one"), dispatcher_views("two"))),
        hosts=[draw(host_views(name)) for name in HOSTS[:2]],
        type_limits=draw(st.dictionaries(st.sampled_from(TYPES), st.integers(1, 3))),
        prefect_down=draw(st.sampled_from([None, None, None, "Prefect does not answer."])),
    )


def after(seen: World, decision: Plan) -> World:
    """The world when everything planned has been taken."""
    jobs = {waiting.id: waiting for waiting in seen.jobs}
    taken = [
        BusyView(
            job_id=start.job_id,
            queue_name=jobs[start.job_id].queue_name,
            type_name=jobs[start.job_id].type_name,
            dispatcher=start.dispatcher,
            host_name=start.host_name,
        )
        for start in decision.starts
    ]
    left = [
        replace(waiting, called=waiting.id in decision.called)
        for waiting in seen.jobs
        if waiting.id not in started(decision)
    ]
    return replace(seen, busy=[*seen.busy, *taken], jobs=left)


def machine(view: BusyView) -> tuple[str | None, str | None]:
    return (view.host_name, None if view.host_name else view.dispatcher)


def loads(seen: World) -> dict[str, Counter[Any]]:
    """What runs, and with it what was called: that takes no worker."""
    called = [
        BusyView(
            job_id=view.id,
            queue_name=view.queue_name,
            type_name=view.type_name,
            dispatcher="",
            host_name=view.host_name,
        )
        for view in seen.jobs
        if view.called
    ]
    holders = [*seen.busy, *called]
    return {
        "queue": Counter(view.queue_name for view in holders),
        "dispatcher": Counter(view.dispatcher for view in seen.busy),
        "host": Counter(view.host_name for view in holders),
        "type": Counter((machine(view), view.type_name) for view in holders),
    }


def limits(seen: World) -> dict[str, dict[Any, int]]:
    machines = {machine(view) for view in seen.busy} | {(name, None) for name in HOSTS}
    return {
        "queue": {view.name: view.max_jobs for view in seen.queues if view.max_jobs is not None},
        "dispatcher": {view.name: view.workers for view in seen.dispatchers},
        "host": {view.name: view.max_jobs for view in seen.hosts if view.max_jobs is not None},
        "type": {(place, name): limit for place in machines for name, limit in seen.type_limits.items()},
    }


@given(worlds())
def test_no_limit_is_passed_by_a_start(seen):
    then = after(seen, plan(seen))
    before = loads(replace(seen, jobs=[replace(view, called=False) for view in seen.jobs]))
    load, allowed = loads(then), limits(then)
    for kind, of_kind in load.items():
        for name, count in of_kind.items():
            if count > before[kind][name] and name in allowed[kind]:
                assert count <= allowed[kind][name], (kind, name)


@given(worlds())
def test_every_job_either_starts_or_has_a_reason_and_the_same_world_gives_the_same_plan(seen):
    decision = plan(seen)
    assert sorted([*started(decision), *decision.reasons]) == sorted(view.id for view in seen.jobs)
    assert plan(seen) == decision
    assert plan(replace(seen, jobs=list(reversed(seen.jobs)))) == decision


@given(worlds())
def test_what_starts_may_start(seen):
    queues = {view.name: view for view in seen.queues}
    hosts = {view.name: view for view in seen.hosts}
    serving = {view.name: view for view in seen.dispatchers}
    jobs = {view.id: view for view in seen.jobs}
    for start in plan(seen).starts:
        view = jobs[start.job_id]
        where = queues[view.queue_name]
        assert seen.prefect_down is None
        assert where.enabled
        assert is_open(where.schedule, NOON, ZONE)
        assert view.start_time is None or view.start_time <= NOON
        assert serving[start.dispatcher].serves(view.queue_name)
        assert start.host_name == view.host_name
        assert view.host_name is None or hosts[view.host_name].state is HostState.READY


HOST_CODES = (ReasonCode.HOST_FULL, ReasonCode.HOST_FAILED)


@given(worlds())
def test_no_job_starts_while_an_earlier_one_that_may_run_waits(seen):
    decision = plan(seen)
    starts = set(started(decision))
    for late in (view for view in seen.jobs if view.id in starts):
        for early in seen.jobs:
            if early.queue_name != late.queue_name or early.seq >= late.seq or early.id in starts:
                continue
            if not late.called and early.id not in decision.called:  # who was called is not overtaken
                assert code(decision, early.id) in (*HOST_CODES, ReasonCode.NOT_BEFORE)


@given(worlds())
def test_starts_of_one_queue_come_in_its_order(seen):
    jobs = {view.id: view for view in seen.jobs}
    for name in QUEUES:
        for called in (True, False):
            seqs = [jobs[n].seq for n in started(plan(seen)) if jobs[n].queue_name == name]
            seqs = [s for s in seqs if any(v.seq == s and v.called is called for v in seen.jobs)]
            assert seqs == sorted(seqs)


@given(worlds())
def test_every_reason_is_true(seen):
    decision = plan(seen)
    then = after(seen, decision)
    load, allowed = loads(then), limits(then)
    queues = {view.name: view for view in seen.queues}
    hosts = {view.name: view for view in seen.hosts}
    for view in then.jobs:
        where = queues[view.queue_name]
        serving = [d for d in seen.dispatchers if d.serves(where.name)]
        free = [d for d in serving if load["dispatcher"][d.name] < d.workers]
        queue_full = where.max_jobs is not None and load["queue"][where.name] >= where.max_jobs
        limit = seen.type_limits.get(view.type_name)
        host = hosts.get(view.host_name or "")
        places = [(view.host_name, None)] if view.host_name else [(None, d.name) for d in serving]
        type_full = limit is not None and any(load["type"][p, view.type_name] >= limit for p in places)
        host_full = (
            view.host_name in allowed["host"]
            and load["host"][view.host_name] >= allowed["host"][view.host_name]
        )
        waits_for_hosts = sum(o.called and o.queue_name == where.name for o in then.jobs)
        held = where.max_jobs is None and waits_for_hosts >= sum(d.workers for d in serving)
        ahead = [o for o in then.jobs if o.queue_name == where.name and o.seq < view.seq]
        truth = {
            ReasonCode.QUEUE_DISABLED: not where.enabled,
            ReasonCode.WINDOW: not is_open(where.schedule, NOON, ZONE),
            ReasonCode.PREFECT_DOWN: seen.prefect_down is not None,
            ReasonCode.NO_DISPATCHER: not serving,
            ReasonCode.NOT_BEFORE: view.start_time is not None and view.start_time > NOON,
            ReasonCode.SLOTS: queue_full or not free or held,
            ReasonCode.POSITION: (queue_full or not free or held)
            and any(code(decision, other.id) is ReasonCode.SLOTS for other in ahead),
            ReasonCode.HOST_FAILED: view.host_name is not None
            and (host is None or host.state is HostState.FAILED),
            ReasonCode.HOST_STARTING: view.called and host is not None and host.state is HostState.COMING,
            ReasonCode.HOST_FULL: host_full
            or type_full
            or (host is not None and host.state is HostState.DRAINING),
        }
        assert truth[code(decision, view.id)], (view, decision.reasons[view.id])


@given(worlds())
def test_a_second_plan_after_the_first_starts_nothing(seen):
    first = plan(seen)
    second = plan(after(seen, first))
    assert second.starts == ()
    assert second.called == first.called


@given(worlds())
def test_who_holds_a_turn_has_a_host_that_comes_or_was_called_before(seen):
    decision = plan(seen)
    hosts = {view.name: view for view in seen.hosts}
    for view in seen.jobs:
        if view.id in decision.called:
            assert code(decision, view.id) in (ReasonCode.HOST_STARTING, ReasonCode.SLOTS)
            assert view.called or hosts[view.host_name].state is HostState.COMING


@given(st.lists(st.integers(1, 12), min_size=2, max_size=3), st.integers(1, 3))
def test_no_queue_starves_while_others_are_full_of_jobs(lengths, workers):
    """Each round one job ends and one starts: no queue with jobs waits longer than there are queues."""
    jobs = [job(100 * at + n, QUEUES[at], seq=n) for at, length in enumerate(lengths) for n in range(length)]
    last: dict[str, datetime] = {}
    waited: Counter[str] = Counter()
    seen = world(*jobs, dispatchers=[DispatcherView(name="here", workers=workers)])
    for turn in range(len(jobs)):
        queues = [queue(name, last_start=last.get(name)) for name in QUEUES]
        seen = replace(seen, now=NOON + timedelta(seconds=turn), queues=queues)
        decision = plan(seen)
        by_id = {view.id: view for view in seen.jobs}
        served = {by_id[n].queue_name for n in started(decision)}
        last |= dict.fromkeys(served, seen.now)
        seen = after(seen, decision)
        waited = Counter(
            {
                view.queue_name: waited[view.queue_name] + 1
                for view in seen.jobs
                if view.queue_name not in served
            }
        )
        assert all(rounds < len(QUEUES) for rounds in waited.values())
        seen = replace(seen, busy=seen.busy[1:])


@given(worlds())
def test_nothing_changes_by_time_alone_before_the_plan_says_look_again(seen):
    decision = plan(seen)
    moment = decision.look_again or NOON + timedelta(days=3)
    assert moment > NOON
    then = plan(replace(after(seen, decision), now=moment - timedelta(microseconds=1)))
    assert then.starts == ()


def test_none_starts_when_the_window_closed_before_the_plan():
    jobs = [job(n) for n in range(5)]
    closing = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)
    seen = world(*jobs, queues=[queue(schedule=DAY)], now=closing - timedelta(microseconds=1))
    assert len(plan(seen).starts) == 4
    assert plan(replace(seen, now=closing)).starts == ()


def test_a_job_whose_run_prefect_refuses_is_passed_over_until_it_is_tried_again():
    later = NOON + timedelta(seconds=60)
    refusal = Reason(code=ReasonCode.PREFECT_DOWN, text="Prefect refuses (422): no.", until=later)
    decision = plan(world(job(1, refusal=refusal), job(2)))
    assert [start.job_id for start in decision.starts] == [2]
    assert decision.reasons[1] == refusal
    assert decision.look_again == later
