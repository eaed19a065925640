"""One job type over many values, two at a time, and the best of the results."""

from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

from batchd_flows import job_flow


@task
def swing(damping: str) -> float:
    return float(job_flow("settle")(steps=500, damping=damping).stdout)


@flow(log_prints=True, task_runner=ThreadPoolTaskRunner(max_workers=2))
def sweep(dampings: list[str]) -> str:
    left = swing.map(dampings).result()
    best = dampings[left.index(min(left))]
    print(f"it settles best with a damping of {best}")
    return best


if __name__ == "__main__":
    sweep(["0.1", "0.2", "0.4"])
