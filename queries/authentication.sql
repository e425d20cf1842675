-- name: authentication
-- question: Do authenticated consumers click, connect and convert better, and how often does authentication fail?
-- param: from DATE -- first local day of the session start
-- param: to DATE -- last one, inclusive
-- param: account TEXT = NULL -- one account; NULL is every account, each on its own rows
-- param: model last|first = last -- which interaction gets a conversion
-- param: cross_session_days BIGINT = 31 -- how long after an interaction a later session's conversion is its own
-- column: account_id TEXT
-- column: device_family TEXT
-- column: authentication TEXT -- not_required, authenticated, failed, or missing where a connector asks for it
-- column: offers BIGINT
-- column: clicked BIGINT
-- column: requested BIGINT
-- column: connected BIGINT
-- column: interactive BIGINT
-- column: converted BIGINT -- offers with a conversion after an engagement
-- column: click_rate DOUBLE -- of the offers shown
-- column: connect_rate DOUBLE -- of the requested
-- column: conversion_rate DOUBLE -- of the interactive
WITH converted AS (
  SELECT DISTINCT e.offer_key
  FROM attributed_conversions($model, $cross_session_days) AS a
  JOIN events_enriched AS e ON e.event_id = a.interaction_id AND NOT e.is_duplicate
  WHERE a.scope = 'engagement'
    AND e.offer_key IS NOT NULL
),
judged AS (
  SELECT
    o.*,
    CASE
      WHEN o.authenticated_time IS NOT NULL THEN 'authenticated'
      WHEN o.auth_failed_time IS NOT NULL THEN 'failed'
      WHEN o.connector_id IS NOT NULL THEN 'missing'
      ELSE 'not_required'
    END AS authentication,
    c.offer_key IS NOT NULL AS is_converted
  FROM offers AS o
  LEFT JOIN converted AS c ON c.offer_key = o.offer_key
  WHERE o.session_start_date BETWEEN $from AND $to
    AND ($account IS NULL OR o.account_id = $account)
)
SELECT
  account_id,
  device_family,
  authentication,
  count(*) AS offers,
  count(click_time) AS clicked,
  count(requested_time) AS requested,
  count(connected_time) AS connected,
  count(interactive_time) AS interactive,
  count(CASE WHEN is_converted THEN 1 END) AS converted,
  CAST(count(CASE WHEN impression_time IS NOT NULL THEN click_time END) AS DOUBLE)
    / nullif(count(impression_time), 0) AS click_rate,
  CAST(count(CASE WHEN requested_time IS NOT NULL THEN connected_time END) AS DOUBLE)
    / nullif(count(requested_time), 0) AS connect_rate,
  CAST(count(CASE WHEN is_converted THEN interactive_time END) AS DOUBLE)
    / nullif(count(interactive_time), 0) AS conversion_rate
FROM judged
GROUP BY account_id, device_family, authentication
ORDER BY account_id, device_family NULLS LAST, authentication
