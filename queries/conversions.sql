-- name: conversions
-- question: Which conversions followed an engagement or an exposure, under this model and window?
-- param: from DATE -- first local day of the session whose interaction caused the conversion
-- param: to DATE -- last one, inclusive
-- param: account TEXT = NULL -- one account; NULL is every account, each on its own rows
-- param: model last|first = last -- which interaction gets a conversion
-- param: cross_session_days BIGINT = 31 -- how long after an interaction a later session's conversion is its own
-- column: account_id TEXT
-- column: scope TEXT -- engagement (conversation, content click) or exposure
-- column: flow TEXT
-- column: campaign_id BIGINT -- of the interaction
-- column: engagement_id BIGINT
-- column: conversion_type TEXT
-- column: currency TEXT
-- column: conversions BIGINT
-- column: in_session BIGINT
-- column: cross_session BIGINT
-- column: revenue DECIMAL
-- column: average_order_value DOUBLE
-- column: items BIGINT
SELECT
  e.account_id,
  a.scope,
  e.flow,
  e.campaign_id,
  e.engagement_id,
  a.conversion_type,
  a.currency,
  count(*) AS conversions,
  count(CASE WHEN a.in_session THEN 1 END) AS in_session,
  count(CASE WHEN NOT a.in_session THEN 1 END) AS cross_session,
  sum(a.amount) AS revenue,
  CAST(sum(a.amount) AS DOUBLE) / count(*) AS average_order_value,
  sum(a.num_items) AS items
FROM attributed_conversions($model, $cross_session_days) AS a
JOIN events_enriched AS e ON e.event_id = a.interaction_id AND NOT e.is_duplicate
WHERE e.session_start_date BETWEEN $from AND $to
  AND ($account IS NULL OR e.account_id = $account)
GROUP BY
  e.account_id, a.scope, e.flow, e.campaign_id, e.engagement_id, a.conversion_type, a.currency
ORDER BY
  e.account_id, a.scope, e.flow, e.campaign_id NULLS LAST, e.engagement_id NULLS LAST,
  a.conversion_type, a.currency NULLS LAST
