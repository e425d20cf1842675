"""Both flows side by side, from the exports of `funnel publish` in FUNNEL_EXPORT."""

import os

import duckdb
import streamlit

EXPORT = os.environ.get("FUNNEL_EXPORT", "export")
FLOWS = ["monitored", "unmonitored"]
STEPS = f"""
    SELECT session_start_date AS day, account_id, funnel, step_index, title, reached, rate_from_first
    FROM read_parquet('{EXPORT}/funnel_daily/*/part-0.parquet')
    WHERE breakdown = 'all' AND unit = 'session' AND funnel IN ('monitored', 'unmonitored')
    ORDER BY day, account_id, funnel, step_index
"""


# A minute: the exports of a day are replaced when late events changed it.
@streamlit.cache_data(ttl=60)
def steps():
    return duckdb.sql(STEPS).df()


def flow(rows, name):
    chosen = rows[rows.funnel == name]
    streamlit.subheader(name.capitalize())
    # By number of the step: by name, the funnel would stand on its head.
    streamlit.bar_chart(chosen, x="title", y="reached", sort="step_index", horizontal=True, x_label="", y_label="sessions")
    table = chosen.set_index("title")[["reached", "rate_from_first"]]
    table.index.name = "Step"
    table.columns = ["Sessions", "Of the first step"]
    table["Of the first step"] = table["Of the first step"].map("{:.1%}".format)
    streamlit.table(table)


def main():
    streamlit.set_page_config(page_title="Engagement funnel", layout="wide")
    streamlit.title("Engagement funnel")
    try:
        rows = steps()
    except duckdb.IOException:
        streamlit.error(f"No exports in {EXPORT}: run `funnel publish`; FUNNEL_EXPORT names the folder `export` of the lake.")
        return
    accounts, days = sorted(rows.account_id.unique()), sorted(rows.day.dt.date.unique(), reverse=True)
    account = streamlit.sidebar.selectbox("Account", accounts)
    day = streamlit.sidebar.selectbox("Day", days)
    chosen = rows[(rows.account_id == account) & (rows.day.dt.date == day)]
    for column, name in zip(streamlit.columns(2), FLOWS):
        with column:
            flow(chosen, name)


main()
