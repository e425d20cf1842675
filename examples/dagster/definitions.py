"""One asset per local day: the marts that `funnel publish` writes.

Exit codes of `funnel publish`: 3 (not complete) and 75 (locked, unreachable) are tried again; 1, 2 and 78 would fail again.
"""

import json
import os
import subprocess

import dagster

# The zone of the account whose days are published; the configuration of funnel is found by FUNNEL_CONFIG.
DAYS = dagster.DailyPartitionsDefinition(
    start_date=os.environ.get("FUNNEL_FIRST_DAY", "2024-03-01"), timezone=os.environ.get("FUNNEL_TIME_ZONE", "UTC")
)
RETRY_SECONDS = int(os.environ.get("FUNNEL_RETRY_SECONDS", "1800"))
RETRIES = int(os.environ.get("FUNNEL_RETRIES", "8"))


@dagster.asset(partitions_def=DAYS, pool="funnel_lake")
def funnel_day(context: dagster.AssetExecutionContext) -> dagster.MaterializeResult:
    """Marts `offers` and `funnel_daily` of one day."""
    day = context.partition_key
    run = subprocess.run(["funnel", "publish", "--date", day], capture_output=True, text=True)
    said = f"{day}: exit code {run.returncode}: {run.stderr.strip()}"
    if run.returncode in {3, 75}:
        context.log.warning(said)
        raise dagster.RetryRequested(max_retries=RETRIES, seconds_to_wait=RETRY_SECONDS)
    if run.returncode != 0:
        raise dagster.Failure(said, allow_retries=False)
    report = json.loads(run.stdout)
    context.log.info(f"{day}: {'nothing changed' if report['unchanged'] else 'written'}")
    rows = {part["mart"]: part["rows"] for part in report["partitions"] if part["date"] == day}
    # Late events also change days that nobody asked for.
    others = [changed["date"] for changed in report["days"] if changed["date"] != day and changed["keys_changed"]]
    return dagster.MaterializeResult(metadata={**rows, "unchanged": report["unchanged"], "other_days": others})


# Half an hour after the day closed: at noon of the next one.
publish_daily = dagster.build_schedule_from_partitioned_job(
    dagster.define_asset_job("publish", [funnel_day]), hour_of_day=12, minute_of_hour=35
)

defs = dagster.Definitions(assets=[funnel_day], schedules=[publish_daily])
