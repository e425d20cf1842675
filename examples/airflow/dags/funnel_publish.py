"""Publishes the day of the data interval: from noon to noon, half an hour after it closed.

Exit codes of `funnel publish`: 3 (not complete) and 75 (locked, unreachable) are tried again; 1, 2 and 78 would fail again.
"""

import json
import os
import subprocess
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from airflow.sdk import Asset, CronDataIntervalTimetable, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException

# The zone of the account whose days are published; the configuration of funnel is found by FUNNEL_CONFIG.
ZONE = ZoneInfo(os.environ.get("FUNNEL_TIME_ZONE", "UTC"))
FINAL = {1, 2, 78}


@dag(
    schedule=CronDataIntervalTimetable("35 12 * * *", timezone=str(ZONE)),
    start_date=datetime(2024, 3, 1, tzinfo=ZONE),
    catchup=False,
    # The lake has a lock: a second run at once would end with 75.
    max_active_runs=1,
    tags=["funnel"],
)
def funnel_publish():
    @task(
        retries=8,
        retry_delay=timedelta(seconds=int(os.environ.get("FUNNEL_RETRY_SECONDS", "1800"))),
        outlets=[Asset("funnel_marts")],
    )
    def publish():
        # The interval begins at 12:35 of the day, and ends at 12:35 of the next one, when the day has closed.
        day = get_current_context()["data_interval_start"].astimezone(ZONE).date()
        run = subprocess.run(["funnel", "publish", "--date", str(day)], capture_output=True, text=True)
        print(run.stderr)
        if run.returncode in FINAL:
            raise AirflowFailException(f"{day}: exit code {run.returncode}: {run.stderr.strip()}")
        if run.returncode != 0:
            raise AirflowException(f"{day}: exit code {run.returncode}, trying again: {run.stderr.strip()}")
        report = json.loads(run.stdout)
        print(f"{day}: {'nothing changed' if report['unchanged'] else 'written'}")
        # What the run wrote, for the tasks that follow.
        return report

    publish()


funnel_publish()
