"""Run by Dagster's Python: runs the example's job once, without waiting between tries, and writes down how it ended.

python dagster_once.py FOLDER RESULT.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import dagster


def at_once(policy: type[dagster.RetryPolicy]) -> None:
    """Lets the example's policies have no delay."""

    def made(max_retries: int, delay: int) -> dagster.RetryPolicy:
        assert delay == 300
        return policy(max_retries=max_retries, delay=0)

    dagster.RetryPolicy = made  # type: ignore[assignment, misc]


def main(folder: str, result: str) -> None:
    at_once(dagster.RetryPolicy)
    sys.path.insert(0, folder)
    import segments  # the example

    (schedule,) = segments.definitions.schedules
    job = segments.definitions.resolve_job_def(schedule.job_name)
    with dagster.DagsterInstance.ephemeral() as instance:
        done = job.execute_in_process(instance=instance, raise_on_error=False)
    found = {
        "cron": schedule.cron_schedule,
        "success": done.success,
        "tried again": {step: done.retry_attempts_for_node(step) for step in ("segment_memberships", "segment_deliveries")},
        "checks": [[one.check_name, one.passed, one.description] for one in done.get_asset_check_evaluations()],
        "failures": {event.step_key: event.event_specific_data.error.message for event in done.all_events if event.is_step_failure},
        "made": {
            event.asset_key.to_user_string(): {key: value.value for key, value in event.materialization.metadata.items()}
            for event in done.get_asset_materialization_events()
        },
    }
    Path(result).write_text(json.dumps(found, default=str), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
