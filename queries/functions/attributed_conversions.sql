-- Each conversion with the interaction that gets it, once per scope (`engagement`, `exposure`).
-- Model and window are parameters because changing them changes history at once: nothing of this
-- is stored. A conversation always beats a click on content; within one session there is no window.
WITH interactive_leg AS (
  SELECT DISTINCT chat_leg_key
  FROM events_enriched
  WHERE NOT is_duplicate
    AND event_type = 'chat_interactive'
    AND chat_leg_key IS NOT NULL
),
-- A conversation counts from the moment an agent took it, provided the visitor wrote something.
-- Chats without an offer are counted apart everywhere, so they get no conversion either.
interaction AS (
  SELECT
    'engagement' AS scope, 1 AS strength, c.event_id, c.visitor_key, c.session_key, c.event_time
  FROM events_enriched AS c
  JOIN interactive_leg AS l ON l.chat_leg_key = c.chat_leg_key
  WHERE NOT c.is_duplicate
    AND c.event_type = 'chat_connected'
    AND c.offer_key IS NOT NULL
  UNION ALL
  SELECT
    CASE WHEN event_type = 'engagement_click' THEN 'engagement' ELSE 'exposure' END AS scope,
    0 AS strength, event_id, visitor_key, session_key, event_time
  FROM events_enriched
  WHERE NOT is_duplicate
    AND (
      event_type = 'engagement_impression'
      OR (event_type = 'engagement_click' AND is_content)
    )
),
candidate AS (
  SELECT
    i.scope, i.strength, i.event_id AS interaction_id, i.event_time AS interaction_time,
    c.conversion_key AS conversion_id, c.conversion_time,
    c.conversion_type, c.order_ref, c.amount, c.currency, c.num_items,
    coalesce(c.session_key = i.session_key, FALSE) AS in_session
  FROM conversions AS c
  JOIN interaction AS i
    ON i.visitor_key = c.visitor_key
    AND i.event_time <= c.conversion_time
),
ranked AS (
  SELECT
    *,
    row_number() OVER (
      PARTITION BY scope, conversion_id
      ORDER BY
        strength DESC,
        CASE
          WHEN CAST($model AS VARCHAR) = 'last' THEN -CAST(interaction_time AS BIGINT)
          ELSE CAST(interaction_time AS BIGINT)
        END,
        interaction_id
    ) AS place
  FROM candidate
  WHERE in_session
    OR CAST(conversion_time AS BIGINT) - CAST(interaction_time AS BIGINT)
      <= CAST($days AS BIGINT) * 86400000000
)
SELECT
  scope, conversion_id, conversion_time, conversion_type, order_ref, amount, currency, num_items,
  in_session, interaction_id, interaction_time
FROM ranked
WHERE place = 1
