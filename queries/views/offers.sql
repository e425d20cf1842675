-- One row per offer: one engagement context of one session, or one answer `NotAvailable`.
-- `offer_outcome` is the first rule that holds, from the end of the funnel to its start.
WITH rows AS (
  SELECT
    *,
    CASE WHEN is_duplicate THEN NULL ELSE event_type_code END AS fact,
    CASE join_quality
      WHEN 'exact' THEN 0 WHEN 'chat' THEN 1 WHEN 'context' THEN 2
      WHEN 'click' THEN 3 WHEN 'time' THEN 4
    END AS join_rank
  FROM events_enriched
  WHERE offer_key IS NOT NULL
    AND (duplicate_kind IS NULL OR duplicate_kind IN ('form', 'source'))
),
grouped AS (
  SELECT
    offer_key,
    account_id,
    session_start_date,
    min(session_key) AS session_key,
    min(session_id) AS session_id,
    min(visitor_key) AS visitor_key,
    min(visitor_id) AS visitor_id,
    min(context_id) AS context_id,
    coalesce(min(flow) FILTER (WHERE flow <> 'unknown'), 'unknown') AS flow,
    min(session_start_time) AS session_start_time,
    min(time_zone) AS time_zone,
    first_value(campaign_id ORDER BY event_time, event_id)
      FILTER (WHERE campaign_id IS NOT NULL) AS campaign_id,
    first_value(engagement_id ORDER BY event_time, event_id)
      FILTER (WHERE engagement_id IS NOT NULL) AS engagement_id,
    first_value(engagement_revision ORDER BY event_time, event_id)
      FILTER (WHERE engagement_revision IS NOT NULL) AS engagement_revision,
    min(engagement_name) AS engagement_name,
    min(engagement_type) AS engagement_type,
    coalesce(bool_or(is_content), false) AS is_content,
    min(conversation_type) AS conversation_type,
    first_value(skill_id ORDER BY event_time, event_id)
      FILTER (WHERE skill_id IS NOT NULL) AS skill_id,
    first_value(skill_name ORDER BY event_time, event_id)
      FILTER (WHERE skill_name IS NOT NULL) AS skill_name,
    first_value(language ORDER BY event_time, event_id)
      FILTER (WHERE language IS NOT NULL) AS language,
    min(window_id) AS window_id,
    min(zone_id) AS zone_id,
    min(goal_id) AS goal_id,
    min(goal_type) AS goal_type,
    min(visitor_profile_id) AS visitor_profile_id,
    min(visitor_behavior_id) AS visitor_behavior_id,
    min(lob_id) AS lob_id,
    min(connector_id) AS connector_id,
    min(consumer_key) AS consumer_key,
    min(valid_for_seconds) AS valid_for_seconds,
    min(availability) FILTER (WHERE fact = 4) AS availability,
    first_value(url ORDER BY event_time, event_id) FILTER (WHERE url IS NOT NULL) AS url,
    first_value(sections[1] ORDER BY event_time, event_id)
      FILTER (WHERE sections[1] IS NOT NULL) AS section,
    min(event_time) FILTER (WHERE fact = 4) AS retrieved_time,
    min(event_time) FILTER (WHERE fact = 5) AS start_time,
    min(event_time) FILTER (WHERE fact = 6) AS rendered_time,
    min(event_time) FILTER (WHERE fact = 7) AS impression_time,
    min(event_time) FILTER (WHERE fact = 8) AS expanded_time,
    min(event_time) FILTER (WHERE fact = 9) AS timeout_time,
    min(event_time) FILTER (WHERE fact = 10) AS declined_time,
    min(event_time) FILTER (WHERE fact = 11) AS removed_time,
    min(event_time) FILTER (WHERE fact = 20) AS click_time,
    min(event_time) FILTER (WHERE fact = 30 AND available) AS recheck_true_time,
    min(event_time) FILTER (WHERE fact = 30 AND NOT available) AS recheck_false_time,
    max(event_time) FILTER (WHERE fact = 30 AND available) AS last_recheck_true_time,
    max(event_time) FILTER (WHERE fact = 30 AND NOT available) AS last_recheck_false_time,
    min(event_time) FILTER (WHERE fact = 31 AND is_authenticated) AS authenticated_time,
    min(event_time) FILTER (WHERE fact = 31 AND NOT is_authenticated) AS auth_failed_time,
    min(event_time) FILTER (
      WHERE (fact = 32 AND chat_state IN ('initialised', 'prechat')) OR (fact = 30 AND available)
    ) AS window_ready_time,
    min(event_time) FILTER (WHERE fact = 33) AS requested_time,
    min(event_time) FILTER (WHERE fact = 34) AS connected_time,
    min(event_time) FILTER (WHERE fact = 36) AS interactive_time,
    min(event_time) FILTER (WHERE fact = 37) AS transferred_time,
    max(event_time) FILTER (WHERE fact = 39) AS ended_time,
    max(event_time) FILTER (WHERE fact BETWEEN 33 AND 39) AS last_chat_time,
    count(*) FILTER (WHERE fact = 7) AS views,
    count(*) FILTER (WHERE fact = 20) AS clicks,
    count(*) FILTER (WHERE fact = 4) AS retrievals,
    count(*) FILTER (WHERE fact = 30) AS rechecks,
    count(*) FILTER (WHERE fact = 33) AS legs,
    count(DISTINCT conversation_key) FILTER (WHERE fact IN (33, 34, 36, 37, 39)) AS conversations,
    first_value(conversation_key ORDER BY event_time, event_id)
      FILTER (WHERE fact IN (33, 34, 36, 37, 39)) AS conversation_key,
    first_value(agent_state ORDER BY event_time, event_id)
      FILTER (WHERE fact = 7 AND agent_state IS NOT NULL) AS agent_state_at_impression,
    first_value(agent_state_at_event ORDER BY event_time, event_id)
      FILTER (WHERE fact = 20 AND agent_state_at_event IS NOT NULL) AS agent_state_at_click,
    coalesce(bool_or(fact = 20 AND agent_state_at_event = 2), false) AS clicked_offline,
    coalesce(bool_or(fact = 20 AND agent_state_at_event = 4), false) AS clicked_busy,
    coalesce(bool_or(fact = 20 AND is_content), false) AS clicked_content,
    bool_or(stale_offer) FILTER (WHERE fact = 20) AS stale_offer,
    max(ended_by) FILTER (
      WHERE event_type_code = 39 AND end_reason IS NOT NULL AND ended_by <> 'transfer'
    ) AS ended_by_settled,
    min(ended_by) FILTER (
      WHERE event_type_code = 39 AND ended_by NOT IN ('transfer', 'unknown')
    ) AS ended_by_live,
    max(end_reason) FILTER (
      WHERE event_type_code = 39 AND ended_by <> 'transfer'
    ) AS end_reason,
    -- The strongest link of the chat, the weakest of what was displayed.
    greatest(
      coalesce(min(join_rank) FILTER (WHERE event_type_code BETWEEN 33 AND 39), 0),
      coalesce(max(join_rank) FILTER (WHERE fact BETWEEN 4 AND 20), 0)
    ) AS join_rank
  FROM rows
  GROUP BY offer_key, account_id, session_start_date
  HAVING count(fact) > 0
),
staged AS (
  SELECT
    *,
    ended_time IS NOT NULL AS chat_ended,
    requested_time IS NOT NULL OR connected_time IS NOT NULL AS has_request,
    -- A session lives at most six hours; a chat without an end is given up six hours after its
    -- last sign of life.
    CASE
      WHEN ended_time IS NOT NULL THEN false
      WHEN last_chat_time IS NOT NULL
        THEN $as_of < last_chat_time + INTERVAL '6 hours'
      ELSE $as_of < session_start_time + INTERVAL '6 hours'
    END AS is_open
  FROM grouped
),
judged AS (
  SELECT
    *,
    CASE
      WHEN interactive_time IS NOT NULL THEN 80
      WHEN is_open THEN 0
      WHEN connected_time IS NOT NULL THEN 70
      WHEN has_request THEN 60
      WHEN auth_failed_time IS NOT NULL THEN 55
      WHEN last_recheck_false_time IS NOT NULL
        AND (last_recheck_true_time IS NULL OR last_recheck_true_time <= last_recheck_false_time)
        THEN 52
      WHEN clicked_content THEN 50
      WHEN clicked_offline THEN 45
      WHEN clicked_busy THEN 44
      WHEN clicks > 0 THEN 40
      WHEN declined_time IS NOT NULL THEN 30
      WHEN timeout_time IS NOT NULL THEN 20
      WHEN views > 0 THEN 10
      WHEN availability = 'NotAvailable' THEN 1
      ELSE 5
    END AS offer_outcome_code
  FROM staged
)
SELECT
  o.offer_key, o.account_id, o.visitor_id, o.visitor_key, o.session_id, o.session_key,
  o.context_id, o.flow, o.session_start_time, o.session_start_date, o.time_zone,
  o.campaign_id, o.engagement_id, o.engagement_revision, o.engagement_name, o.engagement_type,
  o.is_content, o.conversation_type, o.skill_id, o.skill_name,
  coalesce(o.language, s.language) AS language,
  o.window_id, o.zone_id, o.goal_id, o.goal_type, o.visitor_profile_id, o.visitor_behavior_id,
  o.lob_id, o.connector_id, o.valid_for_seconds, o.availability, o.url, o.section,
  coalesce(o.consumer_key, s.consumer_key) AS consumer_key,
  o.authenticated_time IS NOT NULL AS is_authenticated,
  s.control_group, s.device_family, s.os, s.browser, s.country_code, s.customer_type,
  s.marketing_channel, s.marketing_affiliate, s.marketing_campaign, s.new_vs_returning,
  s.first_url, s.first_section, s.consumer_section, s.entry_point,
  o.retrieved_time, o.start_time, o.rendered_time, o.impression_time, o.expanded_time,
  o.timeout_time, o.declined_time, o.removed_time, o.click_time,
  o.recheck_true_time, o.recheck_false_time, o.authenticated_time, o.auth_failed_time,
  o.window_ready_time, o.requested_time, o.connected_time, o.interactive_time,
  o.transferred_time, o.ended_time,
  o.views, o.clicks, o.retrievals, o.rechecks, o.legs, o.conversations, o.conversation_key,
  o.agent_state_at_impression, o.agent_state_at_click, o.stale_offer,
  CASE
    WHEN o.ended_time IS NOT NULL THEN coalesce(o.ended_by_settled, o.ended_by_live, 'unknown')
  END AS ended_by,
  o.end_reason,
  (CAST(coalesce(o.connected_time, o.ended_time) AS BIGINT)
    - CAST(o.requested_time AS BIGINT)) / 1000 AS wait_ms,
  o.click_time IS NOT NULL AND o.impression_time IS NULL AS skipped_impression,
  o.requested_time IS NOT NULL AND o.click_time IS NULL AS skipped_click,
  o.requested_time IS NOT NULL AND o.recheck_true_time IS NULL AS skipped_recheck,
  o.connected_time IS NOT NULL AND o.requested_time IS NULL AS skipped_request,
  CASE o.join_rank
    WHEN 0 THEN 'exact' WHEN 1 THEN 'chat' WHEN 2 THEN 'context'
    WHEN 3 THEN 'click' WHEN 4 THEN 'time'
  END AS join_quality,
  CASE o.offer_outcome_code
    WHEN 80 THEN 'interactive'
    WHEN 70 THEN 'connected_non_interactive'
    WHEN 60 THEN 'abandoned_in_queue'
    WHEN 55 THEN 'auth_failed'
    WHEN 52 THEN 'unavailable_at_recheck'
    WHEN 50 THEN 'content_clicked'
    WHEN 45 THEN 'blocked_offline'
    WHEN 44 THEN 'blocked_busy'
    WHEN 40 THEN 'click_no_request'
    WHEN 30 THEN 'declined'
    WHEN 20 THEN 'timed_out'
    WHEN 10 THEN 'ignored'
    WHEN 5 THEN 'not_displayed'
    WHEN 1 THEN 'not_available'
    ELSE 'in_progress'
  END AS offer_outcome,
  CAST(o.offer_outcome_code AS SMALLINT) AS offer_outcome_code
FROM judged AS o
LEFT JOIN sessions AS s ON o.session_key = s.session_key
