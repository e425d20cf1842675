-- One row per distinct conversion: the same order reported twice, or by two sources, is one.
WITH rows AS (
  SELECT *, coalesce(order_ref, event_id) AS reference
  FROM events_enriched
  WHERE NOT is_duplicate
    AND conversion_type IS NOT NULL
    AND (event_type = 'sde_reported' OR (event_type = 'goal_reached' AND order_ref IS NOT NULL))
)
SELECT
  concat(coalesce(visitor_key, account_id), '|', conversion_type, '|', reference) AS conversion_key,
  account_id,
  min(visitor_id) AS visitor_id,
  visitor_key,
  first_value(session_id ORDER BY event_time, event_id) AS session_id,
  first_value(session_key ORDER BY event_time, event_id) AS session_key,
  first_value(flow ORDER BY event_time, event_id) AS flow,
  first_value(session_start_time ORDER BY event_time, event_id) AS session_start_time,
  first_value(session_start_date ORDER BY event_time, event_id) AS session_start_date,
  min(local_date) AS local_date,
  min(time_zone) AS time_zone,
  min(event_time) AS conversion_time,
  conversion_type,
  min(order_ref) AS order_ref,
  first_value(amount ORDER BY event_time, event_id) FILTER (WHERE amount IS NOT NULL) AS amount,
  first_value(currency ORDER BY event_time, event_id)
    FILTER (WHERE currency IS NOT NULL) AS currency,
  first_value(num_items ORDER BY event_time, event_id)
    FILTER (WHERE num_items IS NOT NULL) AS num_items
FROM rows
GROUP BY account_id, visitor_key, conversion_type, reference
