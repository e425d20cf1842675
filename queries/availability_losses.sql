-- name: availability_losses
-- question: Where were offers lost, what were the agents when the offer was shown and clicked, and was what the visitor saw still true?
-- param: from DATE -- first local day of the session start
-- param: to DATE -- last one, inclusive
-- param: account TEXT = NULL -- one account; NULL is every account, each on its own rows
-- param: flow TEXT = NULL -- monitored, unmonitored or unknown; NULL is all
-- param: stale_seconds BIGINT = 120 -- a state shown longer before the click is stale; LivePerson refreshes a button every 60 to 300 s, 120 by default
-- column: account_id TEXT
-- column: flow TEXT
-- column: state_at_impression TEXT -- online, busy, offline, unknown
-- column: state_at_click TEXT -- online, busy, offline, unknown; no_click where there was none
-- column: offer_outcome TEXT -- how the offer was lost, as in view offers
-- column: losses BIGINT -- offers that were shown and lost
-- column: reachable_losses BIGINT -- of these, shown while agents were online
-- column: stale_state BIGINT -- of the losses, clicked when the state shown was older than stale_seconds
-- column: all_exposures BIGINT -- offers of the account and flow that were shown
-- column: reachable_exposures BIGINT -- of these, shown while agents were online
-- column: share_of_all DOUBLE -- losses by all exposures
-- column: share_of_reachable DOUBLE -- reachable losses by reachable exposures
WITH shown AS (
  SELECT
    offer_key, account_id, flow, offer_outcome, click_time, agent_state_at_click,
    offer_outcome_code NOT IN (0, 50, 80) AS is_loss,
    CASE agent_state_at_impression
      WHEN 1 THEN 'online' WHEN 2 THEN 'offline' WHEN 4 THEN 'busy'
      -- The unmonitored flow knows no states: an answer Available means that somebody was there.
      ELSE CASE WHEN availability = 'Available' THEN 'online' ELSE 'unknown' END
    END AS state_at_impression
  FROM offers
  WHERE session_start_date BETWEEN $from AND $to
    AND ($account IS NULL OR account_id = $account)
    AND ($flow IS NULL OR flow = $flow)
    AND impression_time IS NOT NULL
),
-- What the visitor saw when clicking is what the last impression before the click showed.
seen AS (
  SELECT s.offer_key, max(i.event_time) AS last_seen_time
  FROM shown AS s
  JOIN events_enriched AS i
    ON i.offer_key = s.offer_key
    AND i.event_time <= s.click_time
  WHERE i.event_type = 'engagement_impression'
    AND NOT i.is_duplicate
  GROUP BY s.offer_key
),
judged AS (
  SELECT
    s.*,
    CASE
      WHEN s.click_time IS NULL THEN 'no_click'
      WHEN s.agent_state_at_click = 1 THEN 'online'
      WHEN s.agent_state_at_click = 2 THEN 'offline'
      WHEN s.agent_state_at_click = 4 THEN 'busy'
      ELSE 'unknown'
    END AS state_at_click,
    coalesce(
      CAST(s.click_time AS BIGINT) - CAST(v.last_seen_time AS BIGINT)
        > CAST($stale_seconds AS BIGINT) * 1000000,
      FALSE
    ) AS is_stale
  FROM shown AS s
  LEFT JOIN seen AS v ON v.offer_key = s.offer_key
),
exposures AS (
  SELECT
    account_id,
    flow,
    count(*) AS all_exposures,
    count(CASE WHEN state_at_impression = 'online' THEN 1 END) AS reachable_exposures
  FROM judged
  GROUP BY account_id, flow
),
losses AS (
  SELECT
    account_id, flow, state_at_impression, state_at_click, offer_outcome,
    count(*) AS losses,
    count(CASE WHEN state_at_impression = 'online' THEN 1 END) AS reachable_losses,
    count(CASE WHEN is_stale THEN 1 END) AS stale_state
  FROM judged
  WHERE is_loss
  GROUP BY account_id, flow, state_at_impression, state_at_click, offer_outcome
)
SELECT
  l.account_id, l.flow, l.state_at_impression, l.state_at_click, l.offer_outcome,
  l.losses, l.reachable_losses, l.stale_state,
  e.all_exposures, e.reachable_exposures,
  CAST(l.losses AS DOUBLE) / e.all_exposures AS share_of_all,
  CAST(l.reachable_losses AS DOUBLE) / nullif(e.reachable_exposures, 0) AS share_of_reachable
FROM losses AS l
JOIN exposures AS e ON e.account_id = l.account_id AND e.flow = l.flow
ORDER BY
  l.account_id, l.flow, l.state_at_impression, l.state_at_click, l.losses DESC, l.offer_outcome
