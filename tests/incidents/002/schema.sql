-- SPDX-License-Identifier: Apache-2.0
CREATE TABLE content_requests (
	id bigserial PRIMARY KEY,
	correlation_id text NOT NULL,
	status text NOT NULL,
	worker text,
	created_at timestamptz NOT NULL DEFAULT now()
);
