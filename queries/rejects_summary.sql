-- name: rejects_summary
-- question: Why were records refused, how many, from where, and is it still going on?
-- param: reason TEXT = NULL -- one reason code; NULL is all
-- column: reason_code TEXT
-- column: reason_stage TEXT
-- column: kafka_topic TEXT
-- column: event_type TEXT -- as far as the record could be read
-- column: account_id TEXT
-- column: rejects BIGINT
-- column: first_seen TIMESTAMP
-- column: last_seen TIMESTAMP
-- column: example_id TEXT -- for `funnel rejects show`
-- column: example_detail TEXT
SELECT
  reason_code,
  reason_stage,
  kafka_topic,
  event_type,
  account_id,
  count(*) AS rejects,
  min(ingested_time) AS first_seen,
  max(ingested_time) AS last_seen,
  min(reject_id) AS example_id,
  first_value(detail ORDER BY reject_id) AS example_detail
FROM rejects
WHERE $reason IS NULL OR reason_code = $reason
GROUP BY reason_code, reason_stage, kafka_topic, event_type, account_id
ORDER BY rejects DESC, reason_code, kafka_topic, event_type NULLS LAST, account_id NULLS LAST
