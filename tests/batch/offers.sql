SELECT CAST(session_start_date AS VARCHAR) AS day, account_id, flow, offer_outcome, count(*) AS offers,
  CAST(sum(views) AS BIGINT) AS views, count(click_time) AS clicked, CAST(min(impression_time) AS BIGINT) AS first_impression
FROM offers GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
