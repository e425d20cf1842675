-- name: metrics
-- question: What are LivePerson's campaign metrics for these days, each counted at the grain asked for?
-- param: from DATE -- first local day
-- param: to DATE -- last one, inclusive
-- param: account TEXT = NULL -- one account; NULL is every account, each on its own rows
-- param: flow TEXT = NULL -- monitored or unmonitored; NULL is both together
-- param: grain none|flow|campaign|engagement|skill|lob|agent_state|date = none -- what a row stands for; distinct counts are made anew, never summed
-- param: date_basis session_start|session_start_and_event_time|event_time = session_start -- which date must lie in the range
-- param: timezone TEXT = NULL -- IANA name; NULL is the time zone of the account
-- param: model last|first = last -- which interaction gets a conversion
-- param: cross_session_days BIGINT = 31 -- how long after an interaction a later session's conversion is its own
-- column: account_id TEXT
-- column: grain TEXT
-- column: grain_value TEXT -- NULL: rows that carry no such value
-- column: sessions BIGINT
-- column: prospects BIGINT -- sessions eligible for an engagement, control group included
-- column: prospect_rate DOUBLE
-- column: exposed BIGINT -- sessions with an impression
-- column: exposed_rate DOUBLE
-- column: exposures BIGINT -- sessions × engagements shown
-- column: online_exposures BIGINT
-- column: offline_exposures BIGINT
-- column: busy_exposures BIGINT
-- column: content_exposures BIGINT
-- column: avg_exposures DOUBLE
-- column: online_exposure_rate DOUBLE
-- column: engagement_views BIGINT -- impressions
-- column: accepted_offers BIGINT -- clicks
-- column: accepted_offers_distinct BIGINT -- offers clicked
-- column: online_offers_accepted BIGINT
-- column: offline_offers_accepted BIGINT
-- column: busy_offers_accepted BIGINT
-- column: content_clicked BIGINT
-- column: accepted_rate DOUBLE -- online clicks per online exposure
-- column: offers BIGINT
-- column: stale_offers BIGINT -- offers clicked after they had expired
-- column: requested_chats BIGINT -- queue entries (legs), transfers included
-- column: requested_conversations BIGINT
-- column: connected_chats BIGINT
-- column: connected_conversations BIGINT
-- column: connected_chat_rate_requested DOUBLE
-- column: connected_conversation_rate_requested DOUBLE
-- column: connected_chat_rate_accepted DOUBLE
-- column: connected_conversation_rate_accepted DOUBLE
-- column: abandoned_chats BIGINT
-- column: abandoned_conversations BIGINT
-- column: abandoned_chat_rate DOUBLE -- of the requested
-- column: abandoned_conversation_rate DOUBLE
-- column: abandonment_rate_realtime DOUBLE -- of abandoned and connected
-- column: avg_time_to_answer_seconds DOUBLE
-- column: max_time_to_answer_seconds DOUBLE
-- column: avg_time_to_abandon_seconds DOUBLE -- from the click, or the request where there is none
-- column: max_time_to_abandon_seconds DOUBLE
-- column: interactive_chats BIGINT
-- column: interactive_conversations BIGINT
-- column: interactive_chat_rate DOUBLE
-- column: interactive_conversation_rate DOUBLE
-- column: non_interactive_chats BIGINT
-- column: avg_chat_length_seconds DOUBLE -- connection to end, of interactive chats
-- column: unattributed_chats BIGINT -- chats without an offer: in no other number
-- column: engagements BIGINT -- interactive chats and clicks on content
-- column: engaged BIGINT -- sessions with an engagement
-- column: engaged_rate DOUBLE
-- column: engaged_visitors BIGINT
-- column: viewed_surveys BIGINT
-- column: completed_surveys BIGINT
-- column: survey_completion_rate DOUBLE
-- column: conversions_after_engagement BIGINT
-- column: conversions_after_engagement_in_session BIGINT
-- column: conversions_after_engagement_cross_session BIGINT
-- column: revenue_after_engagement DECIMAL
-- column: aov_after_engagement DOUBLE
-- column: conversions_after_exposure BIGINT
-- column: revenue_after_exposure DECIMAL
-- column: aov_after_exposure DOUBLE
-- column: conversions_after_exposure_not_engagement BIGINT
-- column: conversion_rate_after_engagement DOUBLE
-- column: conversion_rate_after_exposure DOUBLE
-- column: conversion_rate_after_exposure_not_engagement DOUBLE
-- column: incremental_conversions DOUBLE
-- column: incremental_conversion_ratio DOUBLE
WITH dated AS (
  SELECT
    *,
    coalesce(local_date(event_time, $timezone), local_date) AS event_day,
    coalesce(
      local_date(session_start_time, $timezone),
      session_start_date,
      local_date(event_time, $timezone),
      local_date
    ) AS session_day
  FROM events_enriched
  WHERE NOT is_duplicate
    AND ($account IS NULL OR account_id = $account)
),
scoped AS (
  SELECT
    *,
    CASE $grain
      WHEN 'flow' THEN flow
      WHEN 'campaign' THEN CAST(campaign_id AS VARCHAR)
      WHEN 'engagement' THEN CAST(engagement_id AS VARCHAR)
      WHEN 'skill' THEN CAST(skill_id AS VARCHAR)
      WHEN 'lob' THEN lob_id
      WHEN 'agent_state' THEN CAST(agent_state_at_event AS VARCHAR)
      WHEN 'date' THEN CAST(session_day AS VARCHAR)
    END AS grain_value
  FROM dated
  WHERE ($date_basis = 'event_time' OR session_day BETWEEN $from AND $to)
    AND ($date_basis = 'session_start' OR event_day BETWEEN $from AND $to)
    AND ($flow IS NULL OR flow = $flow)
),
leg AS (
  SELECT
    chat_leg_key,
    bool_or(event_type = 'chat_connected') AS leg_connected,
    bool_or(event_type = 'chat_interactive') AS leg_interactive,
    min(CASE WHEN event_type = 'chat_requested' THEN event_time END) AS leg_requested_time,
    min(CASE WHEN event_type = 'chat_connected' THEN event_time END) AS leg_connected_time
  FROM scoped
  WHERE chat_leg_key IS NOT NULL
  GROUP BY chat_leg_key
),
conversation AS (
  SELECT conversation_key, bool_or(event_type = 'chat_connected') AS conversation_connected
  FROM scoped
  WHERE conversation_key IS NOT NULL
  GROUP BY conversation_key
),
clicked AS (
  SELECT offer_key, min(event_time) AS click_time
  FROM scoped
  WHERE event_type = 'engagement_click'
    AND offer_key IS NOT NULL
  GROUP BY offer_key
),
-- One chat fact per leg: a leg counts once whatever the number of forms it arrived in.
fact AS (
  SELECT
    s.account_id, s.grain_value, s.event_type, s.event_id, s.event_time, s.session_key,
    s.offer_key, s.visitor_key, s.engagement_id, s.agent_state, s.agent_state_at_event,
    s.is_content, s.stale_offer, s.survey_action,
    concat(coalesce(s.chat_key, s.session_key), '|', s.survey_id, '|', s.survey_type) AS survey_key,
    concat(s.session_key, '|', s.engagement_id) AS exposure_key,
    CASE WHEN s.offer_key IS NOT NULL THEN s.chat_leg_key END AS leg_key,
    CASE WHEN s.offer_key IS NOT NULL THEN s.conversation_key END AS conversation_key,
    CASE WHEN s.offer_key IS NULL THEN s.chat_leg_key END AS unattributed_key,
    l.leg_connected, l.leg_interactive, c.conversation_connected,
    (CAST(l.leg_connected_time AS BIGINT) - CAST(l.leg_requested_time AS BIGINT)) / 1000000.0
      AS answer_seconds,
    (CAST(s.event_time AS BIGINT)
      - CAST(coalesce(k.click_time, l.leg_requested_time) AS BIGINT)) / 1000000.0
      AS abandon_seconds,
    (CAST(s.event_time AS BIGINT) - CAST(l.leg_connected_time AS BIGINT)) / 1000000.0
      AS chat_seconds
  FROM scoped AS s
  LEFT JOIN leg AS l ON l.chat_leg_key = s.chat_leg_key
  LEFT JOIN conversation AS c ON c.conversation_key = s.conversation_key
  LEFT JOIN clicked AS k ON k.offer_key = s.offer_key
),
attributed AS (
  SELECT
    a.*,
    bool_or(a.scope = 'engagement') OVER (PARTITION BY a.conversion_id) AS is_engaged
  FROM attributed_conversions($model, $cross_session_days) AS a
),
-- A conversion belongs to the grain and the dates of the interaction that caused it.
converted AS (
  SELECT
    s.account_id, s.grain_value, a.scope, a.conversion_id, a.in_session, a.amount, a.is_engaged
  FROM attributed AS a
  JOIN scoped AS s ON s.event_id = a.interaction_id
),
money AS (
  SELECT
    account_id,
    grain_value,
    count(CASE WHEN scope = 'engagement' THEN 1 END) AS conversions_after_engagement,
    count(CASE WHEN scope = 'engagement' AND in_session THEN 1 END) AS in_session,
    count(CASE WHEN scope = 'engagement' AND NOT in_session THEN 1 END) AS cross_session,
    sum(CASE WHEN scope = 'engagement' THEN amount END) AS revenue_after_engagement,
    count(CASE WHEN scope = 'exposure' THEN 1 END) AS conversions_after_exposure,
    sum(CASE WHEN scope = 'exposure' THEN amount END) AS revenue_after_exposure,
    count(CASE WHEN scope = 'exposure' AND NOT is_engaged THEN 1 END) AS exposure_not_engagement
  FROM converted
  GROUP BY account_id, grain_value
),
counted AS (
  SELECT
    account_id,
    grain_value,
    count(DISTINCT CASE WHEN event_type = 'session_started' THEN session_key END) AS sessions,
    count(DISTINCT CASE WHEN event_type = 'engagement_eligible' THEN session_key END) AS prospects,
    count(DISTINCT CASE WHEN event_type = 'engagement_impression' THEN session_key END) AS exposed,
    count(DISTINCT CASE WHEN event_type = 'engagement_impression' THEN exposure_key END)
      AS exposures,
    count(DISTINCT CASE WHEN event_type = 'engagement_impression' AND agent_state = 1
      THEN exposure_key END) AS online_exposures,
    count(DISTINCT CASE WHEN event_type = 'engagement_impression' AND agent_state = 2
      THEN exposure_key END) AS offline_exposures,
    count(DISTINCT CASE WHEN event_type = 'engagement_impression' AND agent_state = 4
      THEN exposure_key END) AS busy_exposures,
    count(DISTINCT CASE WHEN event_type = 'engagement_impression' AND is_content
      THEN exposure_key END) AS content_exposures,
    count(CASE WHEN event_type = 'engagement_impression' THEN 1 END) AS engagement_views,
    count(CASE WHEN event_type = 'engagement_click' THEN 1 END) AS accepted_offers,
    count(DISTINCT CASE WHEN event_type = 'engagement_click' THEN offer_key END)
      AS accepted_offers_distinct,
    count(CASE WHEN event_type = 'engagement_click' AND agent_state_at_event = 1 THEN 1 END)
      AS online_offers_accepted,
    count(CASE WHEN event_type = 'engagement_click' AND agent_state_at_event = 2 THEN 1 END)
      AS offline_offers_accepted,
    count(CASE WHEN event_type = 'engagement_click' AND agent_state_at_event = 4 THEN 1 END)
      AS busy_offers_accepted,
    count(CASE WHEN event_type = 'engagement_click' AND is_content THEN 1 END) AS content_clicked,
    count(DISTINCT offer_key) AS offers,
    count(DISTINCT CASE WHEN event_type = 'engagement_click' AND stale_offer THEN offer_key END)
      AS stale_offers,
    count(DISTINCT CASE WHEN event_type = 'chat_requested' THEN leg_key END) AS requested_chats,
    count(DISTINCT CASE WHEN event_type = 'chat_requested' THEN conversation_key END)
      AS requested_conversations,
    count(DISTINCT CASE WHEN event_type = 'chat_connected' THEN leg_key END) AS connected_chats,
    count(DISTINCT CASE WHEN event_type = 'chat_connected' THEN conversation_key END)
      AS connected_conversations,
    count(DISTINCT CASE WHEN event_type = 'chat_ended' AND NOT leg_connected THEN leg_key END)
      AS abandoned_chats,
    count(DISTINCT CASE WHEN event_type = 'chat_ended' AND NOT conversation_connected
      THEN conversation_key END) AS abandoned_conversations,
    avg(CASE WHEN event_type = 'chat_connected' AND leg_key IS NOT NULL THEN answer_seconds END)
      AS avg_time_to_answer_seconds,
    max(CASE WHEN event_type = 'chat_connected' AND leg_key IS NOT NULL THEN answer_seconds END)
      AS max_time_to_answer_seconds,
    avg(CASE WHEN event_type = 'chat_ended' AND NOT leg_connected AND leg_key IS NOT NULL
      THEN abandon_seconds END) AS avg_time_to_abandon_seconds,
    max(CASE WHEN event_type = 'chat_ended' AND NOT leg_connected AND leg_key IS NOT NULL
      THEN abandon_seconds END) AS max_time_to_abandon_seconds,
    count(DISTINCT CASE WHEN event_type = 'chat_interactive' THEN leg_key END) AS interactive_chats,
    count(DISTINCT CASE WHEN event_type = 'chat_interactive' THEN conversation_key END)
      AS interactive_conversations,
    count(DISTINCT CASE WHEN event_type = 'chat_connected' AND NOT leg_interactive THEN leg_key END)
      AS non_interactive_chats,
    avg(CASE WHEN event_type = 'chat_ended' AND leg_interactive AND leg_key IS NOT NULL
      THEN chat_seconds END) AS avg_chat_length_seconds,
    count(DISTINCT CASE WHEN event_type IN ('chat_requested', 'chat_connected', 'chat_ended')
      THEN unattributed_key END) AS unattributed_chats,
    count(DISTINCT CASE
      WHEN (event_type = 'chat_interactive' AND leg_key IS NOT NULL)
        OR (event_type = 'engagement_click' AND is_content)
      THEN session_key END) AS engaged,
    count(DISTINCT CASE
      WHEN (event_type = 'chat_interactive' AND leg_key IS NOT NULL)
        OR (event_type = 'engagement_click' AND is_content)
      THEN visitor_key END) AS engaged_visitors,
    count(DISTINCT CASE WHEN event_type = 'survey_event' THEN survey_key END) AS viewed_surveys,
    count(DISTINCT CASE WHEN event_type = 'survey_event' AND survey_action = 'submitted'
      THEN survey_key END) AS completed_surveys
  FROM fact
  GROUP BY account_id, grain_value
),
joined AS (
  SELECT
    c.*,
    coalesce(m.conversions_after_engagement, 0) AS after_engagement,
    coalesce(m.in_session, 0) AS in_session,
    coalesce(m.cross_session, 0) AS cross_session,
    coalesce(m.revenue_after_engagement, 0) AS revenue_after_engagement,
    coalesce(m.conversions_after_exposure, 0) AS after_exposure,
    coalesce(m.revenue_after_exposure, 0) AS revenue_after_exposure,
    coalesce(m.exposure_not_engagement, 0) AS not_engagement,
    CAST(coalesce(m.conversions_after_engagement, 0) AS DOUBLE) / nullif(c.engaged, 0)
      AS rate_after_engagement,
    CAST(coalesce(m.exposure_not_engagement, 0) AS DOUBLE) / nullif(c.exposed - c.engaged, 0)
      AS rate_not_engagement
  FROM counted AS c
  LEFT JOIN money AS m
    ON m.account_id = c.account_id
    AND coalesce(m.grain_value, '') = coalesce(c.grain_value, '')
)
SELECT
  account_id,
  $grain AS grain,
  grain_value,
  sessions,
  prospects,
  CAST(prospects AS DOUBLE) / nullif(sessions, 0) AS prospect_rate,
  exposed,
  CAST(exposed AS DOUBLE) / nullif(prospects, 0) AS exposed_rate,
  exposures,
  online_exposures,
  offline_exposures,
  busy_exposures,
  content_exposures,
  CAST(exposures AS DOUBLE) / nullif(exposed, 0) AS avg_exposures,
  CAST(online_exposures AS DOUBLE) / nullif(exposures, 0) AS online_exposure_rate,
  engagement_views,
  accepted_offers,
  accepted_offers_distinct,
  online_offers_accepted,
  offline_offers_accepted,
  busy_offers_accepted,
  content_clicked,
  CAST(online_offers_accepted AS DOUBLE) / nullif(online_exposures, 0) AS accepted_rate,
  offers,
  stale_offers,
  requested_chats,
  requested_conversations,
  connected_chats,
  connected_conversations,
  CAST(connected_chats AS DOUBLE) / nullif(requested_chats, 0) AS connected_chat_rate_requested,
  CAST(connected_conversations AS DOUBLE) / nullif(requested_conversations, 0)
    AS connected_conversation_rate_requested,
  CAST(connected_chats AS DOUBLE) / nullif(accepted_offers, 0) AS connected_chat_rate_accepted,
  CAST(connected_conversations AS DOUBLE) / nullif(accepted_offers, 0)
    AS connected_conversation_rate_accepted,
  abandoned_chats,
  abandoned_conversations,
  CAST(abandoned_chats AS DOUBLE) / nullif(requested_chats, 0) AS abandoned_chat_rate,
  CAST(abandoned_conversations AS DOUBLE) / nullif(requested_conversations, 0)
    AS abandoned_conversation_rate,
  CAST(abandoned_chats AS DOUBLE) / nullif(abandoned_chats + connected_chats, 0)
    AS abandonment_rate_realtime,
  avg_time_to_answer_seconds,
  max_time_to_answer_seconds,
  avg_time_to_abandon_seconds,
  max_time_to_abandon_seconds,
  interactive_chats,
  interactive_conversations,
  CAST(interactive_chats AS DOUBLE) / nullif(connected_chats, 0) AS interactive_chat_rate,
  CAST(interactive_conversations AS DOUBLE) / nullif(connected_conversations, 0)
    AS interactive_conversation_rate,
  non_interactive_chats,
  avg_chat_length_seconds,
  unattributed_chats,
  interactive_chats + content_clicked AS engagements,
  engaged,
  CAST(engaged AS DOUBLE) / nullif(exposed, 0) AS engaged_rate,
  engaged_visitors,
  viewed_surveys,
  completed_surveys,
  CAST(completed_surveys AS DOUBLE) / nullif(viewed_surveys, 0) AS survey_completion_rate,
  after_engagement AS conversions_after_engagement,
  in_session AS conversions_after_engagement_in_session,
  cross_session AS conversions_after_engagement_cross_session,
  revenue_after_engagement,
  CAST(revenue_after_engagement AS DOUBLE) / nullif(after_engagement, 0) AS aov_after_engagement,
  after_exposure AS conversions_after_exposure,
  revenue_after_exposure,
  CAST(revenue_after_exposure AS DOUBLE) / nullif(after_exposure, 0) AS aov_after_exposure,
  not_engagement AS conversions_after_exposure_not_engagement,
  rate_after_engagement AS conversion_rate_after_engagement,
  CAST(after_exposure AS DOUBLE) / nullif(exposed, 0) AS conversion_rate_after_exposure,
  rate_not_engagement AS conversion_rate_after_exposure_not_engagement,
  (rate_after_engagement - rate_not_engagement) * engaged AS incremental_conversions,
  (rate_after_engagement - rate_not_engagement) * engaged / nullif(after_engagement, 0)
    AS incremental_conversion_ratio
FROM joined
ORDER BY account_id, grain_value NULLS LAST
