-- name: completeness
-- question: How many of each day's conversations could be joined to an offer, and how far does the data reach?
-- param: from DATE -- first local day
-- param: to DATE -- last one, inclusive
-- param: account TEXT = NULL -- one account; NULL is every account, each on its own rows
-- param: timezone TEXT = NULL -- IANA name; NULL is the time zone of the account
-- column: account_id TEXT
-- column: date DATE -- local day of the session start, or of the chat where there is no session
-- column: events BIGINT -- rows of the lake, duplicates included
-- column: duplicates BIGINT -- rows that no number counts
-- column: late_events BIGINT
-- column: sessions BIGINT
-- column: conversations BIGINT
-- column: conversations_with_offer BIGINT
-- column: unattributed BIGINT -- conversations without an offer
-- column: share_with_offer DOUBLE -- NULL on a day without conversations
-- column: data_to TIMESTAMP -- latest time of an event of that day
WITH rows AS (
  SELECT
    account_id,
    coalesce(
      local_date(session_start_time, coalesce($timezone, time_zone)),
      session_start_date,
      local_date
    ) AS date,
    is_duplicate, is_late, is_derived, session_key, conversation_key, offer_key, event_type,
    event_time
  FROM events_enriched
  WHERE $account IS NULL OR account_id = $account
),
chat_keys AS (
  -- A conversation stands on the first day that one of its facts belongs to.
  SELECT account_id, conversation_key, min(date) AS date, bool_or(offer_key IS NOT NULL) AS joined
  FROM rows
  WHERE NOT is_duplicate
    AND conversation_key IS NOT NULL
    AND event_type IN ('chat_requested', 'chat_connected', 'chat_interactive', 'chat_ended')
  GROUP BY account_id, conversation_key
),
chats_by_day AS (
  SELECT
    account_id,
    date,
    count(*) AS conversations,
    count(CASE WHEN joined THEN 1 END) AS conversations_with_offer
  FROM chat_keys
  GROUP BY account_id, date
),
days AS (
  SELECT
    account_id,
    date,
    count(CASE WHEN NOT is_derived THEN 1 END) AS events,
    count(CASE WHEN is_duplicate THEN 1 END) AS duplicates,
    count(CASE WHEN is_late AND NOT is_derived THEN 1 END) AS late_events,
    count(DISTINCT CASE WHEN NOT is_duplicate AND event_type = 'session_started'
      THEN session_key END) AS sessions,
    max(event_time) AS data_to
  FROM rows
  GROUP BY account_id, date
)
SELECT
  d.account_id,
  d.date,
  d.events,
  d.duplicates,
  d.late_events,
  d.sessions,
  coalesce(c.conversations, 0) AS conversations,
  coalesce(c.conversations_with_offer, 0) AS conversations_with_offer,
  coalesce(c.conversations - c.conversations_with_offer, 0) AS unattributed,
  CAST(c.conversations_with_offer AS DOUBLE) / c.conversations AS share_with_offer,
  d.data_to
FROM days AS d
LEFT JOIN chats_by_day AS c ON c.account_id = d.account_id AND c.date = d.date
WHERE d.date BETWEEN $from AND $to
ORDER BY d.account_id, d.date
