-- name: attribution_models
-- question: How do conversions and revenue move between first and last interaction, and between a 7- and a 31-day window?
-- param: from DATE -- first local day of the session whose interaction caused the conversion
-- param: to DATE -- last one, inclusive
-- param: account TEXT = NULL -- one account; NULL is every account, each on its own rows
-- column: account_id TEXT
-- column: model TEXT
-- column: cross_session_days BIGINT
-- column: scope TEXT
-- column: conversions BIGINT
-- column: cross_session BIGINT
-- column: revenue DECIMAL
WITH answer AS (
  SELECT 'last' AS model, 31 AS cross_session_days, * FROM attributed_conversions('last', 31)
  UNION ALL
  SELECT 'last' AS model, 7 AS cross_session_days, * FROM attributed_conversions('last', 7)
  UNION ALL
  SELECT 'first' AS model, 31 AS cross_session_days, * FROM attributed_conversions('first', 31)
  UNION ALL
  SELECT 'first' AS model, 7 AS cross_session_days, * FROM attributed_conversions('first', 7)
)
SELECT
  e.account_id,
  a.model,
  a.cross_session_days,
  a.scope,
  count(*) AS conversions,
  count(CASE WHEN NOT a.in_session THEN 1 END) AS cross_session,
  sum(a.amount) AS revenue
FROM answer AS a
JOIN events_enriched AS e ON e.event_id = a.interaction_id AND NOT e.is_duplicate
WHERE e.session_start_date BETWEEN $from AND $to
  AND ($account IS NULL OR e.account_id = $account)
GROUP BY e.account_id, a.model, a.cross_session_days, a.scope
ORDER BY e.account_id, a.scope, a.model, a.cross_session_days
