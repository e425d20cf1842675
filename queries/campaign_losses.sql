-- name: campaign_losses
-- question: Which campaign and engagement lose most between exposure and click, and in which agent state?
-- param: from DATE -- first local day of the session start
-- param: to DATE -- last one, inclusive
-- param: account TEXT = NULL -- one account; NULL is every account, each on its own rows
-- column: account_id TEXT
-- column: campaign_id BIGINT
-- column: engagement_id BIGINT
-- column: engagement_name TEXT
-- column: engagement_revision INTEGER -- compare rows of one engagement to see what a revision changed
-- column: engagement_type SMALLINT -- 0 peeling corner, 1 overlay, 2 toaster, 3 slide-out, 5 embedded, 6 sticky
-- column: agent_state SMALLINT -- at the impression
-- column: shown BIGINT
-- column: clicked BIGINT
-- column: lost BIGINT
-- column: declined BIGINT
-- column: timed_out BIGINT
-- column: ignored BIGINT
-- column: click_rate DOUBLE
SELECT
  account_id,
  campaign_id,
  engagement_id,
  max(engagement_name) AS engagement_name,
  engagement_revision,
  engagement_type,
  agent_state_at_impression AS agent_state,
  count(*) AS shown,
  count(click_time) AS clicked,
  count(*) - count(click_time) AS lost,
  count(CASE WHEN offer_outcome = 'declined' THEN 1 END) AS declined,
  count(CASE WHEN offer_outcome = 'timed_out' THEN 1 END) AS timed_out,
  count(CASE WHEN offer_outcome = 'ignored' THEN 1 END) AS ignored,
  CAST(count(click_time) AS DOUBLE) / count(*) AS click_rate
FROM offers
WHERE impression_time IS NOT NULL
  AND session_start_date BETWEEN $from AND $to
  AND ($account IS NULL OR account_id = $account)
GROUP BY
  account_id, campaign_id, engagement_id, engagement_revision, engagement_type,
  agent_state_at_impression
ORDER BY lost DESC, account_id, campaign_id, engagement_id, engagement_revision, agent_state
