-- name: ledger_summary
-- question: Is every offset accounted for, partition by partition?
-- column: kafka_topic TEXT
-- column: topic_uuid TEXT
-- column: kafka_partition INTEGER
-- column: from_offset BIGINT
-- column: to_offset BIGINT -- the first one that was not read
-- column: accepted BIGINT -- records that gave events
-- column: rejected BIGINT
-- column: duplicate BIGINT
-- column: empty BIGINT
-- column: tombstone BIGINT
-- column: holes BIGINT -- offsets at which there is no record
-- column: gap_offsets BIGINT -- could not be read
-- column: closes BOOLEAN -- the ranges follow each other, and each offset has one fate
WITH entries AS (
  SELECT
    *,
    lag(to_offset) OVER (
      PARTITION BY kafka_topic, topic_uuid, kafka_partition ORDER BY from_offset, to_offset
    ) AS end_before
  FROM ledger
)
SELECT
  kafka_topic,
  topic_uuid,
  kafka_partition,
  min(from_offset) AS from_offset,
  max(to_offset) AS to_offset,
  sum(accepted) AS accepted,
  sum(rejected) AS rejected,
  sum(duplicate) AS duplicate,
  sum(empty) AS empty,
  sum(tombstone) AS tombstone,
  sum(holes) AS holes,
  sum(CASE WHEN kind = 'gap' THEN to_offset - from_offset ELSE 0 END) AS gap_offsets,
  bool_and(
    (end_before IS NULL OR end_before = from_offset)
    AND (
      kind = 'gap'
      OR to_offset - from_offset = accepted + rejected + duplicate + empty + tombstone + holes
    )
  ) AS closes
FROM entries
GROUP BY kafka_topic, topic_uuid, kafka_partition
ORDER BY kafka_topic, topic_uuid, kafka_partition
