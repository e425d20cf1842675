"""Sends envelope lines of standard input to a topic with librdkafka's Python binding.

usage: produce.py BOOTSTRAP TOPIC   (one JSON envelope a line)

The key is `accountId|visitorId`, or `accountId|` without a visitor, as producers of the brand would set it.
"""

import json
import sys

from confluent_kafka import Producer


def main() -> None:
    bootstrap, topic = sys.argv[1:3]
    failed = []
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for line in sys.stdin:
        envelope = json.loads(line)
        key = f"{envelope['accountId']}|{envelope.get('visitorId') or ''}"
        producer.produce(topic, line.strip().encode(), key=key.encode(), on_delivery=lambda error, _: error and failed.append(error))
        producer.poll(0)
    producer.flush(60)
    if failed:
        sys.exit(f"{len(failed)} records were not delivered; first: {failed[0]}")


if __name__ == "__main__":
    main()
