-- One row per session. `session_key` is account, visitor and session.
WITH rows AS (
  SELECT
    *,
    CASE WHEN is_duplicate THEN NULL ELSE event_type_code END AS fact
  FROM events_enriched
  WHERE session_key IS NOT NULL
),
grouped AS (
  SELECT
    session_key,
    account_id,
    session_start_date,
    min(visitor_id) AS visitor_id,
    min(visitor_key) AS visitor_key,
    min(session_id) AS session_id,
    coalesce(min(flow) FILTER (WHERE flow <> 'unknown'), 'unknown') AS flow,
    min(session_start_time) AS session_start_time,
    max(event_time) FILTER (WHERE fact IS NOT NULL) AS session_end_time,
    min(time_zone) AS time_zone,
    count(*) FILTER (WHERE fact = 3) > 0 AS eligible,
    count(*) FILTER (WHERE fact = 3 OR fact = 5) > 0 AS prospect,
    count(*) FILTER (WHERE fact = 7) > 0 AS exposed,
    count(*) FILTER (WHERE fact = 20) > 0 AS clicked,
    count(*) FILTER (WHERE fact = 33) > 0 AS requested,
    count(*) FILTER (WHERE fact = 34) > 0 AS connected,
    count(*) FILTER (WHERE fact = 36) > 0 AS interactive,
    count(*) FILTER (WHERE fact = 36 OR (fact = 20 AND is_content)) > 0 AS engaged,
    CASE
      WHEN count(*) FILTER (WHERE control_group = 'CONTROL') > 0 THEN 'CONTROL'
      WHEN count(*) FILTER (WHERE control_group = 'TEST') > 0 THEN 'TEST'
      ELSE min(control_group)
    END AS control_group,
    count(*) FILTER (WHERE fact = 2) AS page_views,
    count(*) FILTER (WHERE fact = 4 AND availability <> 'Error') AS retrievals,
    count(*) FILTER (WHERE fact = 4 AND availability = 'NotAvailable') AS not_available,
    count(*) FILTER (WHERE fact = 7) AS views,
    count(*) FILTER (WHERE fact = 20) AS clicks,
    count(DISTINCT offer_key) FILTER (WHERE fact IS NOT NULL) AS offers,
    count(DISTINCT conversation_key) FILTER (WHERE fact IN (33, 34, 36, 37, 39)) AS chats,
    count(*) FILTER (WHERE fact = 33) AS legs,
    count(DISTINCT concat(conversion_type, '|', coalesce(order_ref, event_id)))
      FILTER (WHERE fact IN (50, 51) AND conversion_type IS NOT NULL) AS conversions,
    first_value(device_family ORDER BY event_time, event_id)
      FILTER (WHERE device_family IS NOT NULL) AS device_family,
    first_value(os ORDER BY event_time, event_id) FILTER (WHERE os IS NOT NULL) AS os,
    first_value(browser ORDER BY event_time, event_id)
      FILTER (WHERE browser IS NOT NULL) AS browser,
    first_value(country_code ORDER BY event_time, event_id)
      FILTER (WHERE country_code IS NOT NULL) AS country_code,
    first_value(language ORDER BY event_time, event_id)
      FILTER (WHERE language IS NOT NULL) AS language,
    first_value(customer_type ORDER BY event_time, event_id)
      FILTER (WHERE customer_type IS NOT NULL) AS customer_type,
    first_value(marketing_channel ORDER BY event_time, event_id)
      FILTER (WHERE marketing_channel IS NOT NULL) AS marketing_channel,
    first_value(marketing_affiliate ORDER BY event_time, event_id)
      FILTER (WHERE marketing_affiliate IS NOT NULL) AS marketing_affiliate,
    first_value(marketing_campaign ORDER BY event_time, event_id)
      FILTER (WHERE marketing_campaign IS NOT NULL) AS marketing_campaign,
    first_value(url ORDER BY event_time, event_id) FILTER (WHERE url IS NOT NULL) AS first_url,
    first_value(sections[1] ORDER BY event_time, event_id)
      FILTER (WHERE sections[1] IS NOT NULL) AS first_section,
    first_value(consumer_sections[1] ORDER BY event_time, event_id)
      FILTER (WHERE consumer_sections[1] IS NOT NULL) AS consumer_section,
    first_value(entry_points[1] ORDER BY event_time, event_id)
      FILTER (WHERE entry_points[1] IS NOT NULL) AS entry_point,
    min(consumer_key) AS consumer_key,
    coalesce(bool_or(is_authenticated), false) AS is_authenticated
  FROM rows
  GROUP BY session_key, account_id, session_start_date
)
SELECT
  *,
  -- As far as the lake reaches back.
  CASE
    WHEN row_number() OVER (
      PARTITION BY visitor_key ORDER BY session_start_time, session_key
    ) = 1 THEN 'new'
    ELSE 'returning'
  END AS new_vs_returning
FROM grouped
