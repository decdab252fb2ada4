# SPDX-License-Identifier: Apache-2.0
"""One thing done by kafka-python, a client that shares no code with librdkafka:

    kafka_client.py BROKER produce TOPIC TEXT…
    kafka_client.py BROKER work TOPIC GROUP      (commits each message; "hold…" never)
    kafka_client.py BROKER commit TOPIC GROUP PARTITION OFFSET
    kafka_client.py BROKER lag TOPIC GROUP
"""
import sys
import time

from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition

broker, action, topic, *rest = sys.argv[1:]
common = {"bootstrap_servers": broker, "api_version": (0, 11), "client_id": "somebody"}


def consumer(group, **more):
    return KafkaConsumer(group_id=group, enable_auto_commit=False, auto_offset_reset="earliest", **common, **more)


def all_of(reader):
    return [TopicPartition(topic, p) for p in sorted(reader.partitions_for_topic(topic))]


class Ready(ConsumerRebalanceListener):
    def on_partitions_revoked(self, revoked):
        pass

    def on_partitions_assigned(self, assigned):
        print("ready", flush=True)


if action == "produce":
    producer = KafkaProducer(**common)
    partitions = min(len(producer.partitions_for(topic)), 2)
    for i, text in enumerate(rest):
        producer.send(topic, text.encode(), partition=i % partitions).get(20)
    producer.close()
elif action == "lag":
    reader = consumer(rest[0])
    ends = reader.end_offsets(all_of(reader))
    print(sum(end - reader.committed(p) for p, end in ends.items() if reader.committed(p) is not None))
    reader.close()
elif action == "commit":
    reader = consumer(rest[0])
    one = TopicPartition(topic, int(rest[1]))
    reader.assign([one])
    reader.commit({one: OffsetAndMetadata(int(rest[2]), "")})
    reader.close()
elif action == "work":
    reader = consumer(rest[0])
    reader.subscribe([topic], listener=Ready())
    while True:
        for batch in reader.poll(timeout_ms=200).values():
            for message in batch:
                text = message.value.decode()
                if text.startswith("hold"):
                    print("holds", text, flush=True)
                    time.sleep(3600)
                reader.commit({TopicPartition(topic, message.partition): OffsetAndMetadata(message.offset + 1, "")})
                print("had", text, flush=True)
