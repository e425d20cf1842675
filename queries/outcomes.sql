-- name: outcomes
-- question: What became of the offers, and in which agent state were they shown and clicked?
-- param: from DATE -- first local day of the session start
-- param: to DATE -- last one, inclusive
-- param: account TEXT = NULL -- one account; NULL is every account, each on its own rows
-- param: flow TEXT = NULL -- monitored, unmonitored or unknown; NULL is all
-- param: timezone TEXT = NULL -- IANA name; NULL is the time zone of the account
-- column: account_id TEXT
-- column: offer_outcome TEXT
-- column: offer_outcome_code SMALLINT
-- column: agent_state_at_impression SMALLINT -- 1 online, 2 offline, 4 busy
-- column: agent_state_at_click SMALLINT
-- column: is_loss BOOLEAN -- the offer came to an end before a visitor wrote a line
-- column: offers BIGINT
SELECT
  account_id,
  offer_outcome,
  offer_outcome_code,
  agent_state_at_impression,
  agent_state_at_click,
  -- A click on content is what content is shown for; what is still open is not lost yet.
  offer_outcome_code NOT IN (0, 50, 80) AS is_loss,
  count(*) AS offers
FROM offers
WHERE coalesce(local_date(session_start_time, coalesce($timezone, time_zone)), session_start_date)
    BETWEEN $from AND $to
  AND ($account IS NULL OR account_id = $account)
  AND ($flow IS NULL OR flow = $flow)
GROUP BY
  account_id, offer_outcome, offer_outcome_code, agent_state_at_impression, agent_state_at_click
ORDER BY
  account_id, offer_outcome_code DESC, agent_state_at_impression NULLS LAST,
  agent_state_at_click NULLS LAST
