-- One row per chat leg: one stay in the queue and what followed until a transfer or the end.
-- Attributes may come from any form of a fact (the end reason arrives hours after the end);
-- times and counts come from the one canonical row of each fact.
WITH rows AS (
  SELECT
    *,
    CASE WHEN is_duplicate THEN NULL ELSE event_type_code END AS fact,
    CASE join_quality
      WHEN 'exact' THEN 0 WHEN 'chat' THEN 1 WHEN 'context' THEN 2
      WHEN 'click' THEN 3 WHEN 'time' THEN 4
    END AS join_rank
  FROM events_enriched
  WHERE chat_leg_key IS NOT NULL
    AND (duplicate_kind IS NULL OR duplicate_kind IN ('form', 'source'))
),
grouped AS (
  SELECT
    chat_leg_key,
    conversation_key,
    leg_number,
    account_id,
    session_start_date,
    min(offer_key) AS offer_key,
    min(session_key) AS session_key,
    min(session_id) AS session_id,
    min(visitor_key) AS visitor_key,
    min(visitor_id) AS visitor_id,
    min(context_id) AS context_id,
    coalesce(min(flow) FILTER (WHERE flow <> 'unknown'), 'unknown') AS flow,
    min(session_start_time) AS session_start_time,
    min(time_zone) AS time_zone,
    min(campaign_id) AS campaign_id,
    min(engagement_id) AS engagement_id,
    min(engagement_revision) AS engagement_revision,
    min(chat_key) AS chat_key,
    min(chat_session_key) AS chat_session_key,
    min(rt_session_id) AS rt_session_id,
    first_value(skill_id ORDER BY event_time, event_id)
      FILTER (WHERE skill_id IS NOT NULL) AS skill_id,
    first_value(skill_name ORDER BY event_time, event_id)
      FILTER (WHERE skill_name IS NOT NULL) AS skill_name,
    first_value(language ORDER BY event_time, event_id)
      FILTER (WHERE language IS NOT NULL) AS language,
    first_value(agent_id ORDER BY event_time, event_id)
      FILTER (WHERE agent_id IS NOT NULL) AS agent_id,
    min(conversation_type) AS conversation_type,
    -- Only an authenticated visitor has these ids.
    coalesce(bool_or(is_authenticated), false)
      OR count(participant_id) > 0 OR count(auth_conversation_id) > 0 AS is_authenticated,
    min(consumer_key) AS consumer_key,
    min(event_time) FILTER (WHERE fact = 33) AS requested_time,
    min(event_time) FILTER (WHERE fact = 34) AS connected_time,
    min(event_time) FILTER (WHERE fact = 36) AS interactive_time,
    min(event_time) FILTER (WHERE fact = 37) AS transferred_time,
    min(event_time) FILTER (WHERE fact = 39) AS ended_time,
    count(*) FILTER (WHERE fact = 35 AND line_source = 'visitor') AS visitor_lines,
    count(*) FILTER (WHERE fact = 35 AND line_source = 'agent') AS agent_lines,
    max(ended_by) FILTER (
      WHERE event_type_code = 39 AND end_reason IS NOT NULL AND ended_by <> 'transfer'
    ) AS ended_by_settled,
    min(ended_by) FILTER (
      WHERE event_type_code = 39 AND ended_by NOT IN ('transfer', 'unknown')
    ) AS ended_by_live,
    max(end_reason) FILTER (WHERE event_type_code = 39) AS end_reason,
    max(start_reason) AS start_reason,
    max(mcs) AS mcs,
    max(chat_duration_ms) FILTER (WHERE event_type_code = 39) AS reported_duration_ms,
    min(join_rank) AS join_rank
  FROM rows
  GROUP BY chat_leg_key, conversation_key, leg_number, account_id, session_start_date
  HAVING count(fact) FILTER (WHERE fact IN (33, 34, 36, 37, 39)) > 0
)
SELECT
  chat_leg_key, conversation_key, leg_number, account_id, visitor_id, visitor_key,
  session_id, session_key, offer_key, context_id, flow,
  offer_key IS NULL AS unattributed,
  session_start_time, session_start_date, time_zone,
  campaign_id, engagement_id, engagement_revision,
  chat_key, chat_session_key, rt_session_id,
  skill_id, skill_name, language, agent_id, conversation_type, is_authenticated, consumer_key,
  requested_time, connected_time, interactive_time, transferred_time, ended_time,
  requested_time IS NOT NULL AS requested,
  connected_time IS NOT NULL AS connected,
  interactive_time IS NOT NULL AS interactive,
  transferred_time IS NOT NULL AS transferred,
  ended_time IS NOT NULL AS ended,
  ended_time IS NOT NULL AND connected_time IS NULL AS abandoned,
  CASE
    WHEN ended_time IS NOT NULL THEN coalesce(ended_by_settled, ended_by_live, 'unknown')
    WHEN transferred_time IS NOT NULL THEN 'transfer'
  END AS ended_by,
  end_reason,
  start_reason,
  (CAST(coalesce(connected_time, transferred_time, ended_time) AS BIGINT)
    - CAST(requested_time AS BIGINT)) / 1000 AS wait_ms,
  (CAST(coalesce(connected_time, transferred_time, ended_time) AS BIGINT)
    - CAST(requested_time AS BIGINT)) / 1000000.0 AS wait_seconds,
  coalesce(
    (CAST(coalesce(ended_time, transferred_time) AS BIGINT) - CAST(connected_time AS BIGINT)) / 1000,
    reported_duration_ms
  ) AS duration_ms,
  coalesce(
    (CAST(coalesce(ended_time, transferred_time) AS BIGINT) - CAST(connected_time AS BIGINT))
      / 1000000.0,
    reported_duration_ms / 1000.0
  ) AS duration_seconds,
  visitor_lines, agent_lines, mcs,
  CASE join_rank
    WHEN 0 THEN 'exact' WHEN 1 THEN 'chat' WHEN 2 THEN 'context'
    WHEN 3 THEN 'click' WHEN 4 THEN 'time' ELSE 'none'
  END AS join_quality
FROM grouped
