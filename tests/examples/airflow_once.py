"""Run by Airflow's Python: runs the example's DAG once, without waiting between tries, and writes down how it ended.

python airflow_once.py DAG_FILE RESULT.json
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag


def main(file: str, result: str) -> None:
    bag = DagBag(file, bundle_name="dags-folder")
    assert not bag.import_errors, bag.import_errors
    (dag,) = bag.dags.values()
    (task,) = dag.tasks
    assert task.retries == 3
    assert task.retry_delay == timedelta(minutes=5)
    task.retry_delay = timedelta(0)
    run = dag.test()
    (instance,) = run.get_task_instances()
    found = {"dag": dag.dag_id, "run": run.state, "task": instance.state, "tries": instance.try_number, "catchup": dag.catchup}
    Path(result).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
