-- name: chat_endings
-- question: Who ends chats and why, and which of them were transferred or never became interactive?
-- param: from DATE -- first local day of the session start
-- param: to DATE -- last one, inclusive
-- param: account TEXT = NULL -- one account; NULL is every account, each on its own rows
-- column: account_id TEXT
-- column: ended_by TEXT -- visitor, agent, system, transfer, unknown; NULL: still open
-- column: end_reason SMALLINT -- code of the source
-- column: chats BIGINT -- legs
-- column: connected_chats BIGINT
-- column: interactive_chats BIGINT
-- column: transferred_chats BIGINT
-- column: interactive_rate DOUBLE -- of the connected
-- column: avg_wait_seconds DOUBLE
-- column: avg_duration_seconds DOUBLE -- of the connected
SELECT
  account_id,
  ended_by,
  end_reason,
  count(*) AS chats,
  count(CASE WHEN connected THEN 1 END) AS connected_chats,
  count(CASE WHEN interactive THEN 1 END) AS interactive_chats,
  count(CASE WHEN transferred THEN 1 END) AS transferred_chats,
  CAST(count(CASE WHEN interactive THEN 1 END) AS DOUBLE)
    / nullif(count(CASE WHEN connected THEN 1 END), 0) AS interactive_rate,
  avg(wait_seconds) AS avg_wait_seconds,
  avg(duration_seconds) AS avg_duration_seconds
FROM chats
WHERE NOT unattributed
  AND session_start_date BETWEEN $from AND $to
  AND ($account IS NULL OR account_id = $account)
GROUP BY account_id, ended_by, end_reason
ORDER BY account_id, ended_by NULLS LAST, end_reason NULLS LAST
