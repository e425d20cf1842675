SELECT CAST(session_start_date AS VARCHAR) AS day, account_id, funnel, unit, breakdown, step_index,
  count(*) AS "rows", CAST(sum(reached) AS BIGINT) AS reached
FROM funnel_daily GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
