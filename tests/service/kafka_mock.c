/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdio.h>
#include <string.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "base/text.h"

/*
 * kafka_mock TOPIC:PARTITIONS…: librdkafka's own mock cluster of one broker,
 * whose address it prints; no Kafka can be had from Debian or npm. Of each line
 * that it reads, "TOPIC PARTITION BROKER", the broker becomes that partition's
 * leader (-1: none), and it says "ok".
 */

static void
set_leader(rd_kafka_mock_cluster_t *cluster, char *line)
{
	const char *topic = strsep(&line, " ");
	const char *partition = strsep(&line, " ");
	int64_t number = 0;
	int64_t broker = -1;

	if (partition == NULL || line == NULL ||
	    text_i64(partition, 0, 100, &number, NULL) == -1 ||
	    text_i64(line, -1, 100, &broker, NULL) == -1)
		return;
	(void)rd_kafka_mock_partition_set_leader(
	    cluster, topic, (int32_t)number, (int32_t)broker);
	(void)puts("ok");
}

int
main(int argc, char **argv)
{
	char why[256];
	char line[512];
	rd_kafka_t *rk = rd_kafka_new(
	    RD_KAFKA_PRODUCER, rd_kafka_conf_new(), why, sizeof(why));
	rd_kafka_mock_cluster_t *cluster =
	    rk != NULL ? rd_kafka_mock_cluster_new(rk, 1) : NULL;

	if (cluster == NULL)
		return 1;
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++) {
		char *colon = strrchr(argv[i], ':');
		int64_t partitions = 0;

		if (colon == NULL ||
		    text_i64(colon + 1, 1, 100, &partitions, NULL) == -1)
			return 2;
		*colon = '\0';
		(void)rd_kafka_mock_topic_create(
		    cluster, argv[i], (int)partitions, 1);
	}
	(void)puts(rd_kafka_mock_cluster_bootstraps(cluster));
	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		set_leader(cluster, line);
	}
	rd_kafka_mock_cluster_destroy(cluster);
	rd_kafka_destroy(rk);
	return 0;
}
