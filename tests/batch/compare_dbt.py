"""Holds the models of examples/dbt against the reports of `funnel`: compare_dbt.py DATABASE ACCOUNT REPORT-FUNNEL-DAY.json…"""

import json
import sys
from pathlib import Path

import duckdb


def main():
    database, account, *reports = sys.argv[1:]
    connection = duckdb.connect(database, read_only=True)
    compared = 0
    for report in map(Path, reports):
        _, funnel, day = report.stem.split("-", 2)
        steps = json.loads(report.read_text())
        key = [account, funnel, day]
        found = connection.execute(
            "SELECT step, reached, dropped, rate_from_first FROM funnel_by_day "
            "WHERE account_id = ? AND funnel = ? AND day = ?::DATE ORDER BY step_index",
            key,
        ).fetchall()
        wanted = [(s["step"], s["reached"], s["dropped"], s["rate_from_first"]) for s in steps]
        if found != wanted or not wanted:
            sys.exit(f"FAILED: funnel_by_day, {funnel} of {day}: {found}, but `funnel report` says {wanted}")
        [ends] = connection.execute(
            "SELECT entered, completed FROM conversion_by_day WHERE account_id = ? AND funnel = ? AND day = ?::DATE", key
        ).fetchall()
        if ends != (steps[0]["reached"], steps[-1]["reached"]):
            sys.exit(f"FAILED: conversion_by_day, {funnel} of {day}: {ends}")
        compared += len(steps)
    print(f"{compared} steps equal")


main()
