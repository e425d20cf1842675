-- name: not_available
-- question: How often is an engagement refused in the unmonitored flow, where and at which hour, and does the recheck contradict it?
-- param: from DATE -- first local day of the session start
-- param: to DATE -- last one, inclusive
-- param: account TEXT = NULL -- one account; NULL is every account, each on its own rows
-- column: account_id TEXT
-- column: consumer_section TEXT
-- column: local_hour INTEGER -- of the answer, in the account's time zone
-- column: answers BIGINT -- answers to requests for an engagement, errors left out
-- column: refused BIGINT
-- column: refused_rate DOUBLE
-- column: clicks BIGINT
-- column: stale_clicks BIGINT -- after validForSeconds had run out
-- column: rechecks BIGINT
-- column: contradicted BIGINT -- offers that were available and were refused at the recheck
-- column: p50_seconds_to_recheck DOUBLE -- from the answer to the first recheck
SELECT
  account_id,
  consumer_section,
  local_hour(retrieved_time, time_zone) AS local_hour,
  sum(retrievals) AS answers,
  coalesce(sum(CASE WHEN availability = 'NotAvailable' THEN retrievals END), 0) AS refused,
  CAST(coalesce(sum(CASE WHEN availability = 'NotAvailable' THEN retrievals END), 0) AS DOUBLE)
    / nullif(sum(retrievals), 0) AS refused_rate,
  sum(clicks) AS clicks,
  count(CASE WHEN stale_offer THEN 1 END) AS stale_clicks,
  sum(rechecks) AS rechecks,
  count(CASE WHEN availability = 'Available' THEN recheck_false_time END) AS contradicted,
  percentile_cont(0.5) WITHIN GROUP (
    ORDER BY (CAST(coalesce(recheck_true_time, recheck_false_time) AS BIGINT)
      - CAST(retrieved_time AS BIGINT)) / 1000000.0
  ) AS p50_seconds_to_recheck
FROM offers
WHERE flow = 'unmonitored'
  AND retrieved_time IS NOT NULL
  AND session_start_date BETWEEN $from AND $to
  AND ($account IS NULL OR account_id = $account)
GROUP BY account_id, consumer_section, local_hour(retrieved_time, time_zone)
ORDER BY account_id, consumer_section NULLS LAST, local_hour
