-- name: time_to_next_stage
-- question: How long does it take from one stage to the next, and in which bands?
-- param: from DATE -- first local day of the session start
-- param: to DATE -- last one, inclusive
-- param: account TEXT = NULL -- one account; NULL is every account, each on its own rows
-- param: flow TEXT = NULL -- monitored or unmonitored; NULL is both together
-- column: account_id TEXT
-- column: transition TEXT -- from and to; abandoned_wait is the time in the queue of those who left
-- column: transition_index BIGINT
-- column: occurrences BIGINT
-- column: p50_seconds DOUBLE
-- column: p90_seconds DOUBLE
-- column: p99_seconds DOUBLE
-- column: max_seconds DOUBLE
-- column: seconds_0_15 BIGINT -- at least 0, under 15
-- column: seconds_15_30 BIGINT
-- column: seconds_30_45 BIGINT
-- column: seconds_45_60 BIGINT
-- column: seconds_60_90 BIGINT
-- column: seconds_90_120 BIGINT
-- column: seconds_120_up BIGINT
WITH offer AS (
  SELECT account_id, impression_time, click_time, requested_time
  FROM offers
  WHERE session_start_date BETWEEN $from AND $to
    AND ($account IS NULL OR account_id = $account)
    AND ($flow IS NULL OR flow = $flow)
),
leg AS (
  SELECT account_id, requested_time, connected_time, interactive_time, ended_time, abandoned
  FROM chats
  WHERE session_start_date BETWEEN $from AND $to
    AND NOT unattributed
    AND ($account IS NULL OR account_id = $account)
    AND ($flow IS NULL OR flow = $flow)
),
span AS (
  SELECT account_id, 1 AS transition_index, 'impression_to_click' AS transition,
    impression_time AS began, click_time AS ended
  FROM offer
  UNION ALL
  SELECT account_id, 2, 'click_to_request', click_time, requested_time
  FROM offer
  UNION ALL
  SELECT account_id, 3, 'request_to_connect', requested_time, connected_time
  FROM leg
  UNION ALL
  SELECT account_id, 4, 'abandoned_wait', requested_time, CASE WHEN abandoned THEN ended_time END
  FROM leg
  UNION ALL
  SELECT account_id, 5, 'connect_to_first_line', connected_time, interactive_time
  FROM leg
),
timed AS (
  -- What comes before its own start was told by another clock: no time can be read from it.
  SELECT
    account_id, transition_index, transition,
    (CAST(ended AS BIGINT) - CAST(began AS BIGINT)) / 1000000.0 AS seconds
  FROM span
  WHERE ended >= began
)
SELECT
  account_id,
  transition,
  transition_index,
  count(*) AS occurrences,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS p50_seconds,
  percentile_cont(0.9) WITHIN GROUP (ORDER BY seconds) AS p90_seconds,
  percentile_cont(0.99) WITHIN GROUP (ORDER BY seconds) AS p99_seconds,
  max(seconds) AS max_seconds,
  count(CASE WHEN seconds < 15 THEN 1 END) AS seconds_0_15,
  count(CASE WHEN seconds >= 15 AND seconds < 30 THEN 1 END) AS seconds_15_30,
  count(CASE WHEN seconds >= 30 AND seconds < 45 THEN 1 END) AS seconds_30_45,
  count(CASE WHEN seconds >= 45 AND seconds < 60 THEN 1 END) AS seconds_45_60,
  count(CASE WHEN seconds >= 60 AND seconds < 90 THEN 1 END) AS seconds_60_90,
  count(CASE WHEN seconds >= 90 AND seconds < 120 THEN 1 END) AS seconds_90_120,
  count(CASE WHEN seconds >= 120 THEN 1 END) AS seconds_120_up
FROM timed
GROUP BY account_id, transition_index, transition
ORDER BY account_id, transition_index
