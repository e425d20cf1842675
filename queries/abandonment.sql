-- name: abandonment
-- question: Which skills lose chats in the queue at which hour, under both formulas, and how long do those who leave wait?
-- param: from DATE -- first local day of the session start
-- param: to DATE -- last one, inclusive
-- param: account TEXT = NULL -- one account; NULL is every account, each on its own rows
-- column: account_id TEXT
-- column: skill_id BIGINT
-- column: local_hour INTEGER -- of the request, in the account's time zone
-- column: requested_chats BIGINT
-- column: connected_chats BIGINT
-- column: abandoned_chats BIGINT
-- column: interactive_chats BIGINT
-- column: abandonment_rate_requested DOUBLE -- of the requested
-- column: abandonment_rate_realtime DOUBLE -- of abandoned and connected
-- column: p50_wait_seconds_connected DOUBLE
-- column: p90_wait_seconds_connected DOUBLE
-- column: p50_wait_seconds_abandoned DOUBLE
-- column: p90_wait_seconds_abandoned DOUBLE
SELECT
  account_id,
  skill_id,
  local_hour(requested_time, time_zone) AS local_hour,
  count(CASE WHEN requested THEN 1 END) AS requested_chats,
  count(CASE WHEN connected THEN 1 END) AS connected_chats,
  count(CASE WHEN abandoned THEN 1 END) AS abandoned_chats,
  count(CASE WHEN interactive THEN 1 END) AS interactive_chats,
  CAST(count(CASE WHEN abandoned THEN 1 END) AS DOUBLE)
    / nullif(count(CASE WHEN requested THEN 1 END), 0) AS abandonment_rate_requested,
  CAST(count(CASE WHEN abandoned THEN 1 END) AS DOUBLE)
    / nullif(count(CASE WHEN abandoned OR connected THEN 1 END), 0) AS abandonment_rate_realtime,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY CASE WHEN connected THEN wait_seconds END)
    AS p50_wait_seconds_connected,
  percentile_cont(0.9) WITHIN GROUP (ORDER BY CASE WHEN connected THEN wait_seconds END)
    AS p90_wait_seconds_connected,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY CASE WHEN abandoned THEN wait_seconds END)
    AS p50_wait_seconds_abandoned,
  percentile_cont(0.9) WITHIN GROUP (ORDER BY CASE WHEN abandoned THEN wait_seconds END)
    AS p90_wait_seconds_abandoned
FROM chats
WHERE NOT unattributed
  AND session_start_date BETWEEN $from AND $to
  AND ($account IS NULL OR account_id = $account)
GROUP BY account_id, skill_id, local_hour(requested_time, time_zone)
ORDER BY account_id, skill_id NULLS LAST, local_hour NULLS LAST
