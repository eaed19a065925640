"""Jobs into a queue, where its window, order and limits hold; the flow waits until all have ended."""

from prefect import flow

from batchd_flows import job_flow


@flow(log_prints=True)
def through_the_queue(queue: str) -> None:
    settle = job_flow("settle")
    jobs = [settle.submit_to(queue, steps=steps, notes="from a flow") for steps in (100, 200)]
    for ended in [job.wait() for job in jobs]:
        print(f"job {ended.id} is {ended.status}: {(ended.stdout or '').strip()}")


if __name__ == "__main__":
    through_the_queue("default")
