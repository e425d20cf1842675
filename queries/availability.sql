-- name: availability
-- question: Which offers were lost while agents were online, busy or offline, and could the visitor have been reached?
-- param: from DATE -- first local day of the session start
-- param: to DATE -- last one, inclusive
-- param: account TEXT = NULL -- one account; NULL is every account, each on its own rows
-- param: flow TEXT = NULL -- monitored or unmonitored; NULL is both together
-- column: account_id TEXT
-- column: flow TEXT
-- column: availability TEXT -- at the click, else at the impression: online, busy, offline, not_available (refused), unknown
-- column: offers BIGINT
-- column: shown BIGINT
-- column: clicked BIGINT
-- column: requested BIGINT
-- column: connected BIGINT
-- column: lost_before_click BIGINT -- shown, never clicked
-- column: lost_after_click BIGINT -- clicked, never in the queue
-- column: lost_in_queue BIGINT -- in the queue, never connected
-- column: reachable_losses BIGINT -- lost although agents were online
-- column: click_rate DOUBLE
WITH judged AS (
  SELECT
    account_id,
    flow,
    CASE
      WHEN availability = 'NotAvailable' THEN 'not_available'
      WHEN coalesce(agent_state_at_click, agent_state_at_impression) = 1 THEN 'online'
      WHEN coalesce(agent_state_at_click, agent_state_at_impression) = 2 THEN 'offline'
      WHEN coalesce(agent_state_at_click, agent_state_at_impression) = 4 THEN 'busy'
      -- The unmonitored flow knows no states: an answer Available means that somebody was there.
      WHEN availability = 'Available' THEN 'online'
      ELSE 'unknown'
    END AS state,
    impression_time IS NOT NULL AS is_shown,
    click_time IS NOT NULL AS is_clicked,
    requested_time IS NOT NULL AS is_requested,
    connected_time IS NOT NULL AS is_connected,
    offer_outcome = 'in_progress' AS is_open,
    is_content
  FROM offers
  WHERE session_start_date BETWEEN $from AND $to
    AND ($account IS NULL OR account_id = $account)
    AND ($flow IS NULL OR flow = $flow)
),
staged AS (
  SELECT
    *,
    NOT is_open AND is_shown AND NOT is_clicked AND NOT is_requested AS lost_shown,
    NOT is_open AND is_clicked AND NOT is_requested AND NOT is_content AS lost_clicked,
    NOT is_open AND is_requested AND NOT is_connected AS lost_queued
  FROM judged
)
SELECT
  account_id,
  flow,
  state AS availability,
  count(*) AS offers,
  count(CASE WHEN is_shown THEN 1 END) AS shown,
  count(CASE WHEN is_clicked THEN 1 END) AS clicked,
  count(CASE WHEN is_requested THEN 1 END) AS requested,
  count(CASE WHEN is_connected THEN 1 END) AS connected,
  count(CASE WHEN lost_shown THEN 1 END) AS lost_before_click,
  count(CASE WHEN lost_clicked THEN 1 END) AS lost_after_click,
  count(CASE WHEN lost_queued THEN 1 END) AS lost_in_queue,
  count(CASE WHEN state = 'online' AND (lost_shown OR lost_clicked OR lost_queued) THEN 1 END)
    AS reachable_losses,
  CAST(count(CASE WHEN is_clicked THEN 1 END) AS DOUBLE)
    / nullif(count(CASE WHEN is_shown THEN 1 END), 0) AS click_rate
FROM staged
GROUP BY account_id, flow, state
ORDER BY account_id, flow, state
