"""An hourly Segmentry run for Airflow 3: put this file into the DAGs folder.

The command stands in an environment of its own and is called by its path, so that neither Airflow's pinned versions nor
Segmentry's are in the other's way, and each is upgraded by itself. Its exit code says what Airflow has to do.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import DAG, Asset, BaseOperator, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException

COMMAND = os.environ.get("SEGMENTRY_COMMAND", "/opt/segmentry/bin/segmentry")
WORKSPACE = os.environ.get("SEGMENTRY_WORKSPACE", "/srv/shop")
ENVIRONMENT = os.environ.get("SEGMENTRY_ENV", "prod")

TRIED_AGAIN = {
    3: "committed, and some deliveries failed; another run sends what is still due",
    75: "another run holds the lease",
}
"""Exit codes after which waiting helps."""

NOT_TRIED_AGAIN = {
    1: "a rule, a file, a source or the clock is wrong; the log says which",
    2: "the command was called wrongly",
    4: "a guard holds something until somebody says `segmentry approve` or `discard`; the rest of the run went on",
    70: "a bug of Segmentry's",
}
"""Exit codes after which another try would end in the same way. Whatever else ends a run, a signal say, is tried again."""


class SegmentryOperator(BaseOperator):
    """Runs a command of Segmentry's on a workspace; its output is the task's log, its last line the task's value."""

    template_fields = ("arguments",)

    def __init__(self, *, arguments: list[str], **options: object) -> None:
        super().__init__(**options)
        self.arguments = arguments
        self.hook = SubprocessHook()

    def execute(self, context: Context) -> str:  # noqa: ARG002 -- Airflow's signature
        """Ends as the exit code says: well, failed, or failed and to be tried again."""
        called = [COMMAND, "--workspace", WORKSPACE, "--env", ENVIRONMENT, *self.arguments]
        ended = self.hook.run_command(called)
        code = ended.exit_code
        if code in NOT_TRIED_AGAIN:
            raise AirflowFailException(f"exit code {code}: {NOT_TRIED_AGAIN[code]}")
        if code != 0:
            raise AirflowException(f"exit code {code}: {TRIED_AGAIN.get(code, 'it was killed')}")
        return ended.output

    def on_kill(self) -> None:
        """Ends the command with the task: a run that is killed has committed everything or nothing."""
        self.hook.send_sigterm()


with DAG(
    dag_id="segmentry_hourly",
    description="Recompute the segments, tell who came and who left",
    schedule="5 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    # a run is always of now: hours that were missed are not made up for, the next run sees all that has changed since
    catchup=False,
    max_active_runs=1,
    tags=["segmentry"],
) as dag:
    SegmentryOperator(
        task_id="recompute",
        arguments=["recompute"],
        retries=3,
        retry_delay=timedelta(minutes=5),
        execution_timeout=timedelta(hours=2),
        # other DAGs may be scheduled by it
        outlets=[Asset("segmentry_memberships")],
    )
