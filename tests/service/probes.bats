#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The prober against real servers: for each way to fail, the step, the cause and
# the code; the answer in time; and never a password in it.

bats_require_minimum_version 1.5.0
load ../lib
load probe_lib

setup() {
	need python3 jq
	cd "$BATS_TEST_TMPDIR" || return
}

# --- redis -------------------------------------------------------------------

@test "redis: a server that is well, its identity and a key" {
	start_redis
	redis set x:1 'done'
	redis rpush x:2 a b
	redis hset x:3 status completed worker fileprocess/0
	look "{\"kind\":\"redis\",\"url\":\"$REDIS_URL/0\"}"
	says passed none ""
	step tcp passed
	step protocol passed
	[ "$(jq -r '.identity | length' <<<"$ANSWER")" = 40 ]
	look "{\"kind\":\"redis\",\"url\":\"$REDIS_URL\",\"key\":\"x:1\",\"equals\":\"done\"}"
	says passed none
	look "{\"kind\":\"redis\",\"url\":\"$REDIS_URL\",\"key\":\"x:1\",\"equals\":\"don\"}"
	says failed mismatch
	look "{\"kind\":\"redis\",\"url\":\"$REDIS_URL\",\"key\":\"x:2\",\"equals\":2}"
	says passed none
	look "{\"kind\":\"redis\",\"url\":\"$REDIS_URL\",\"key\":\"x:3\",\"field\":\"status\",\"equals\":\"completed\",\"by\":\"worker\"}"
	says passed none
	fact by fileprocess/0
	look "{\"kind\":\"redis\",\"url\":\"$REDIS_URL\",\"key\":\"x:4\"}"
	says failed not-found
	look "{\"kind\":\"redis\",\"url\":\"$REDIS_URL\",\"key\":\"x:4\",\"exists\":false}"
	says passed none
	look "{\"kind\":\"redis\",\"url\":\"$REDIS_URL\",\"key\":\"x:\$(CANARY)\",\"canary\":\"1\",\"equals\":\"done\"}"
	says passed none
}

@test "redis: who may not" {
	start_redis --requirepass "$SECRET"
	redis -a "$SECRET" acl setuser limited on ">$SECRET" '~x:*' +ping +get
	look "{\"kind\":\"redis\",\"url\":\"$REDIS_URL\"}"
	says failed auth NOAUTH
	look "{\"kind\":\"redis\",\"url\":\"redis://:wrong-password@127.0.0.1:$REDIS_PORT\"}"
	says failed auth WRONGPASS
	step auth failed
	look "{\"kind\":\"redis\",\"url\":\"redis://nobody:$SECRET@127.0.0.1:$REDIS_PORT\"}"
	says failed auth WRONGPASS
	look "{\"kind\":\"redis\",\"url\":\"redis://:$SECRET@127.0.0.1:$REDIS_PORT/0\"}"
	says passed none
	look "{\"kind\":\"redis\",\"url\":\"redis://limited:$SECRET@127.0.0.1:$REDIS_PORT\",\"key\":\"x:1\"}"
	says failed permission NOPERM
	look "{\"kind\":\"redis\",\"url\":\"redis://:$SECRET@127.0.0.1:$REDIS_PORT/99\"}"
	says failed wrong-database
}

@test "redis: by a unix socket" {
	start_redis --unixsocket "$BATS_TEST_TMPDIR/r.sock"
	look "{\"kind\":\"redis\",\"url\":\"unix://$BATS_TEST_TMPDIR/r.sock?db=3\"}"
	says passed none
	fact db 3
	look "{\"kind\":\"redis\",\"url\":\"unix://$BATS_TEST_TMPDIR/none.sock\"}"
	says failed refused ENOENT
}

@test "one prober keeps its connection from one request to the next" {
	start_redis
	request="{\"kind\":\"redis\",\"subject\":\"it\",\"url\":\"$REDIS_URL\"}"
	before=$(redis info stats | tr -d '\r' | sed -n 's/^total_connections_received://p')
	printf '%s\n' "$request" "$request" "$request" |
	    timeout 30 "$REEVE_TOOL" probe >out
	[ "$(grep -c '"passed","cause"' out)" = 3 ]
	after=$(redis info stats | tr -d '\r' | sed -n 's/^total_connections_received://p')
	# one of the prober's, one of the second redis-cli
	[ "$((after - before))" = 2 ]
}

@test "a kept connection that died is made anew" {
	start_redis
	mkfifo in
	start_background prober bash -c "exec '$REEVE_TOOL' probe <in"
	log=$BACKGROUND_LOG
	exec 7>in
	request="{\"kind\":\"redis\",\"subject\":\"it\",\"url\":\"$REDIS_URL\"}"
	echo "$request" >&7
	wait_until grep -q '"passed","cause"' "$log"
	redis client kill type normal skipme yes
	echo "$request" >&7
	two() { [ "$(grep -c '"passed","cause"' "$log")" = 2 ]; }
	wait_until two
	exec 7>&-
}

# --- postgres ----------------------------------------------------------------

pg_url() {
	printf 'postgresql://%s@127.0.0.1:%s/%s' "$1" "$PG_PORT" "$2"
}

@test "postgres: who may not log in, by SQLSTATE" {
	start_postgres
	sql "CREATE ROLE worker LOGIN PASSWORD '$SECRET'"
	look "{\"kind\":\"postgres\",\"url\":\"$(pg_url worker:wrong-password postgres)\"}"
	says failed auth 28P01
	step tcp passed
	step auth failed
	look "{\"kind\":\"postgres\",\"url\":\"$(pg_url "nobody:$SECRET" postgres)\"}"
	says failed auth 28P01
	look "{\"kind\":\"postgres\",\"url\":\"$(pg_url worker postgres)\"}"
	says failed auth no-password
	look "{\"kind\":\"postgres\",\"url\":\"$(pg_url "worker:$SECRET" nope)\"}"
	says failed wrong-database 3D000
	look "{\"kind\":\"postgres\",\"url\":\"$(pg_url "worker:$SECRET" postgres)?sslmode=require\"}"
	says failed tls not-offered
	look "{\"kind\":\"postgres\",\"url\":\"$(pg_url "worker:$SECRET" postgres)\"}"
	says passed none
	fact user worker
	[ "$(jq -r .identity <<<"$ANSWER")" != "" ]
	# nothing of the environment takes part
	PGPASSWORD=$SECRET look "{\"kind\":\"postgres\",\"url\":\"$(pg_url worker postgres)\"}"
	says failed auth no-password
}

@test "postgres: a password with a bare @ is said to be that, and not shown" {
	start_postgres
	look "{\"kind\":\"postgres\",\"url\":\"postgresql://worker:pa@$SECRET@127.0.0.1:$PG_PORT/db\"}"
	says failed url unencoded-at
}

@test "postgres: the schema, all that is wrong in one look" {
	start_postgres
	sql "CREATE ROLE worker LOGIN PASSWORD '$SECRET'"
	sql "CREATE TABLE documents (id uuid PRIMARY KEY, status text)"
	sql "CREATE SCHEMA audit; CREATE TABLE audit.events (id int)"
	sql "CREATE TABLE schema_migrations (version text);
	     INSERT INTO schema_migrations VALUES ('001'), ('002')"
	sql "CREATE TABLE twice (x int); INSERT INTO twice VALUES (1), (1)"
	run sql "CREATE UNIQUE INDEX CONCURRENTLY twice_x ON twice (x)"
	sql "GRANT SELECT ON documents, schema_migrations TO worker"
	url=$(pg_url "worker:$SECRET" postgres)
	look "{\"kind\":\"postgres\",\"url\":\"$url\",\"tables\":[{\"name\":\"documents\",\"columns\":[\"id\",\"status\"]}],\"indexes\":[\"documents_pkey\"],\"migration\":{\"table\":\"schema_migrations\",\"version\":\"002\"}}"
	says passed none
	fact "privileges documents" SELECT
	fact "index documents_pkey" valid
	look "{\"kind\":\"postgres\",\"url\":\"$url\",\"tables\":[{\"name\":\"documents\",\"columns\":[\"id\",\"statusx\"],\"grants\":[\"UPDATE\"]},{\"name\":\"document\"},{\"name\":\"events\"}],\"indexes\":[\"twice_x\"],\"migration\":{\"table\":\"schema_migrations\",\"version\":\"003\"}}"
	says failed not-found
	tells "the nearest is status"
	tells "may not UPDATE on documents"
	fact "table document" missing
	fact "nearest document" documents
	fact "elsewhere events" audit.events
	fact "index twice_x" invalid
	fact migration 002
	tells "migration 003 is not applied"
}

@test "postgres: a query's value, who did it, and what is refused" {
	start_postgres
	id=11111111-1111-4111-8111-111111111111
	sql "CREATE ROLE worker LOGIN PASSWORD '$SECRET'"
	sql "CREATE TABLE documents (id uuid, status text, worker_id text);
	     INSERT INTO documents VALUES ('$id', 'completed', 'fileprocess/0')"
	sql "CREATE TABLE hidden (x int)"
	sql "CREATE TABLE tenants (x int); ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
	     GRANT SELECT ON tenants TO worker; GRANT SELECT, DELETE ON documents TO worker"
	url=$(pg_url "worker:$SECRET" postgres)
	query="SELECT status FROM documents WHERE id = \$(CANARY)"
	look "{\"kind\":\"postgres\",\"url\":\"$url\",\"query\":\"$query\",\"canary\":\"$id\",\"equals\":\"completed\",\"by\":\"worker_id\"}"
	says passed none
	fact by fileprocess/0
	look "{\"kind\":\"postgres\",\"url\":\"$url\",\"query\":\"$query\",\"canary\":\"22222222-1111-4111-8111-111111111111\",\"equals\":\"completed\"}"
	says failed mismatch no-row
	look "{\"kind\":\"postgres\",\"url\":\"$url\",\"query\":\"$query\"}"
	says unknown unresolved
	look "{\"kind\":\"postgres\",\"url\":\"$url\",\"query\":\"SELECT x FROM hidden\"}"
	says failed permission 42501
	look "{\"kind\":\"postgres\",\"url\":\"$url\",\"query\":\"SELECT x FROM absent\"}"
	says failed not-found 42P01
	look "{\"kind\":\"postgres\",\"url\":\"$url\",\"query\":\"SELECT nothing FROM documents\"}"
	says failed not-found 42703
	# 0 rows without an error would be a false zero
	look "{\"kind\":\"postgres\",\"url\":\"$url\",\"query\":\"SELECT count(*) FROM tenants\",\"equals\":0}"
	says unknown permission 42501
	look "{\"kind\":\"postgres\",\"url\":\"$url\",\"query\":\"SELECT count(*) FROM documents\",\"atLeast\":2}"
	says failed mismatch
	look "{\"kind\":\"postgres\",\"url\":\"$url\",\"query\":\"DELETE FROM documents RETURNING 1\"}"
	says failed permission 25006
	LOOK_MS=1500 look "{\"kind\":\"postgres\",\"url\":\"$url\",\"query\":\"SELECT pg_sleep(30)\"}"
	says unknown deadline 57014
	[ "$(sql 'SELECT count(*) FROM documents')" = 1 ]
	look "{\"kind\":\"postgres\",\"url\":\"$url\",\"execute\":\"DELETE FROM documents WHERE id = \$(CANARY)\",\"canary\":\"$id\"}"
	says passed none
	fact rows 1
	[ "$(sql 'SELECT count(*) FROM documents')" = 0 ]
}

# --- http --------------------------------------------------------------------

@test "http: by status, and where a 404 comes from" {
	serve http
	base=http://127.0.0.1:$PORT
	look "{\"kind\":\"http\",\"url\":\"$base/\",\"contains\":\"pong\"}"
	says passed none
	look "{\"kind\":\"http\",\"url\":\"http://user:$SECRET@127.0.0.1:$PORT/api/ocr\",\"method\":\"POST\",\"body\":\"{}\",\"status\":[200,400,422]}"
	says failed not-found 404
	fact base-status 200
	tells "the path is wrong"
	look "{\"kind\":\"http\",\"url\":\"$base/422\",\"status\":[200,400,422]}"
	says passed none
	look "{\"kind\":\"http\",\"url\":\"$base/500\"}"
	says failed unavailable 500
	look "{\"kind\":\"http\",\"url\":\"$base/401\",\"headers\":[\"Authorization: Bearer $SECRET\"]}"
	says failed auth 401
	look "{\"kind\":\"http\",\"url\":\"$base/403\"}"
	says failed permission 403
	look "{\"kind\":\"http\",\"url\":\"$base/\",\"contains\":\"absent\"}"
	says failed mismatch
	look "{\"kind\":\"http\",\"url\":\"$base/302\",\"status\":200}"
	says failed mismatch 302
	look "{\"kind\":\"http\",\"url\":\"$base/302\",\"status\":200,\"followRedirects\":true}"
	says passed none
	look "{\"kind\":\"http\",\"url\":\"https://127.0.0.1:$PORT/\"}"
	says failed tls not-tls
	look "{\"kind\":\"http\",\"url\":\"file:///etc/passwd\"}"
	says failed url
}

# --- the lower rungs, the same for every protocol ----------------------------

# every HOST:PORT RESULT CAUSE: whatever speaks to it
every() {
	local at=$1
	shift
	look "{\"kind\":\"redis\",\"url\":\"redis://:$SECRET@$at\"}"
	says "$@"
	look "{\"kind\":\"postgres\",\"url\":\"postgresql://u:$SECRET@$at/db\"}"
	says "$@"
	look "{\"kind\":\"http\",\"url\":\"http://u:$SECRET@$at/\"}"
	says "$@"
	look "{\"kind\":\"http\",\"url\":\"https://u:$SECRET@$at/\"}"
	says "$@"
	look "{\"kind\":\"tls\",\"host\":\"${at%:*}\",\"port\":${at##*:}}"
	says "$@"
}

@test "nothing listens there" {
	every "127.0.0.1:$(free_port)" failed refused
}

@test "a server that accepts and says nothing" {
	serve silent
	LOOK_MS=1500 every "127.0.0.1:$PORT" unknown silent
	look "{\"kind\":\"tcp\",\"host\":\"127.0.0.1\",\"port\":$PORT}"
	says passed none
}

@test "an address that swallows every packet" {
	serve full
	LOOK_MS=1500
	every "127.0.0.1:$PORT" unknown unreachable
	look "{\"kind\":\"tcp\",\"host\":\"127.0.0.1\",\"port\":$PORT}"
	says unknown unreachable ETIMEDOUT
}

@test "a server that drips a byte a second" {
	serve drip
	LOOK_MS=1500 look "{\"kind\":\"http\",\"url\":\"http://127.0.0.1:$PORT/\"}"
	says unknown silent drip
	look "{\"kind\":\"redis\",\"url\":\"redis://127.0.0.1:$PORT\"}"
	says failed wrong-type
	look "{\"kind\":\"postgres\",\"url\":\"postgresql://a:b@127.0.0.1:$PORT/x\"}"
	says failed wrong-type
}

@test "the wrong protocol on the port" {
	start_redis
	start_postgres
	# Redis waits for the rest of what begins like a command
	LOOK_MS=1500 look "{\"kind\":\"postgres\",\"url\":\"postgresql://a:b@127.0.0.1:$REDIS_PORT/x\"}"
	[ "$(jq -r .result <<<"$ANSWER")" != passed ]
	look "{\"kind\":\"redis\",\"url\":\"redis://127.0.0.1:$PG_PORT\"}"
	says failed unavailable closed
	tells "not Redis"
	look "{\"kind\":\"http\",\"url\":\"http://127.0.0.1:$REDIS_PORT/\"}"
	[ "$(jq -r .result <<<"$ANSWER")" = failed ]
}

@test "no such name" {
	every no-such-name.invalid:1 failed dns
	look '{"kind":"dns","host":"no-such-name.invalid"}'
	says failed dns NXDOMAIN
	look '{"kind":"dns","host":"localhost"}'
	says passed none
}

# A resolver that never answers holds the prober for ten seconds and more: only
# whoever started it can end that, and says where it hung.
@test "a name server that does not answer" {
	echo "nameserver 127.0.0.1" >resolv
	# shellcheck disable=SC2016 # expanded inside
	unshare -rmn true || skip "no namespaces here"
	cat >gate.yaml <<-YAML
	apiVersion: reeve/v1
	name: dark
	checks:
	  - {name: db, timeout: 1s, postgres: {url: "postgresql://u:$SECRET@db.example/x"}}
	  - {name: cache, timeout: 1s, redis: {url: "redis://:$SECRET@cache.example"}}
	  - {name: ocr, timeout: 1s, http: {url: "http://ocr.example/"}}
	YAML
	# shellcheck disable=SC2016
	run unshare -rmn bash -c '
		ip link set lo up
		mount --bind resolv /etc/resolv.conf
		python3 "$1" dead-dns 53 & server=$!
		until grep -q ":0035 " /proc/net/udp; do sleep 0.05; done
		timeout 30 "$2" check -f gate.yaml --timeout 5s --output json
		echo "exit $?"
		kill "$server"' - "$BATS_TEST_DIRNAME/probes_server.py" "$REEVE_TOOL"
	echo "$output"
	[[ $output = *"exit 3"* || $output = *"exit 69"* ]]
	[[ $output = *"DNS did not answer"* ]]
	[[ $output != *"$SECRET"* ]]
}

# --- TLS ---------------------------------------------------------------------

# certificate NAME SAN DAYS: NAME.pem by ca.pem, with NAME.key
certificate() {
	[ -f ca.pem ] || openssl req -x509 -newkey ec \
	    -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem \
	    -subj "/CN=test CA" -days 2
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
	    -keyout "$1.key" -out "$1.csr" -subj "/CN=$1"
	openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key \
	    -CAcreateserial -days "$3" -out "$1.pem" \
	    -extfile <(echo "subjectAltName=$2")
}

# tls CA…: the three that speak TLS to PORT; each as says
tls() {
	local ca=$1
	shift
	look "{\"kind\":\"tls\",\"host\":\"localhost\",\"port\":$PORT,\"tls\":{\"ca\":\"$ca\"}}"
	says "$@"
	look "{\"kind\":\"http\",\"url\":\"https://localhost:$PORT/\",\"tls\":{\"ca\":\"$ca\"}}"
	says "$@"
}

@test "TLS: good, wrong name, expired, self-signed, unknown authority" {
	need openssl
	{
		certificate good DNS:localhost,IP:127.0.0.1 2
		certificate other DNS:elsewhere.example 2
		certificate old DNS:localhost -1
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 \
		    -nodes -keyout own.key -out own.pem -subj /CN=localhost \
		    -addext subjectAltName=DNS:localhost -days 2
	} 2>/dev/null
	ca=$PWD/ca.pem
	serve https good.pem good.key
	tls "$ca" passed none
	look "{\"kind\":\"tls\",\"host\":\"127.0.0.1\",\"port\":$PORT,\"tls\":{\"ca\":\"$ca\"}}"
	says passed none
	# two days, less the moment since it was made
	jq -e '.facts[] | select(.key == "days-left").value | IN("1", "2")' <<<"$ANSWER"
	look "{\"kind\":\"tls\",\"host\":\"127.0.0.1\",\"port\":$PORT,\"serverName\":\"db.example\",\"tls\":{\"ca\":\"$ca\"}}"
	says failed tls wrong-name
	look "{\"kind\":\"tls\",\"host\":\"localhost\",\"port\":$PORT}"
	says failed tls untrusted
	look "{\"kind\":\"http\",\"url\":\"https://localhost:$PORT/\"}"
	says failed tls untrusted
	serve https other.pem other.key
	tls "$ca" failed tls wrong-name
	serve https old.pem old.key
	tls "$ca" failed tls expired
	serve https own.pem own.key
	tls "$ca" failed tls self-signed
}

@test "TLS: rediss, and a plain client on its port" {
	need openssl
	certificate good DNS:localhost,IP:127.0.0.1 2 2>/dev/null
	tls_port=$(free_port)
	start_redis --tls-port "$tls_port" --tls-cert-file "$PWD/good.pem" \
	    --tls-key-file "$PWD/good.key" --tls-ca-cert-file "$PWD/ca.pem" \
	    --tls-auth-clients no --requirepass "$SECRET"
	look "{\"kind\":\"redis\",\"url\":\"rediss://:$SECRET@localhost:$tls_port/0?tls.ca=$PWD/ca.pem\"}"
	says passed none
	step tls passed
	look "{\"kind\":\"redis\",\"url\":\"rediss://:$SECRET@localhost:$tls_port/0\"}"
	says failed tls untrusted
	look "{\"kind\":\"redis\",\"url\":\"redis://:$SECRET@localhost:$tls_port/0\"}"
	[ "$(jq -r .result <<<"$ANSWER")" = failed ]
	look "{\"kind\":\"redis\",\"url\":\"rediss://:$SECRET@localhost:$REDIS_PORT/0\"}"
	[ "$(jq -r .result <<<"$ANSWER")" != passed ]
}

# --- the rest ----------------------------------------------------------------

@test "sqlite: a value, a statement, and what is no database" {
	need sqlite3
	sqlite3 a.db "CREATE TABLE jobs (id TEXT, status TEXT, owner TEXT);
	    INSERT INTO jobs VALUES ('c1', 'done', 'w/0')"
	query="SELECT status, owner FROM jobs WHERE id = \$(CANARY)"
	look "{\"kind\":\"sqlite\",\"path\":\"a.db\",\"query\":\"$query\",\"canary\":\"c1\",\"equals\":\"done\",\"by\":\"owner\"}"
	says passed none
	fact by w/0
	look '{"kind":"sqlite","path":"a.db","query":"DELETE FROM jobs"}'
	says failed permission
	look '{"kind":"sqlite","path":"a.db","query":"SELECT * FROM absent"}'
	says failed not-found
	look '{"kind":"sqlite","path":"absent.db","query":"SELECT 1"}'
	says failed not-found
	[ ! -e absent.db ]
	look '{"kind":"sqlite","path":"absent.db","execute":"CREATE TABLE t (x)"}'
	says failed not-found
	[ ! -e absent.db ]
	head -c 4096 /dev/urandom >noise.db
	look '{"kind":"sqlite","path":"noise.db","query":"SELECT 1"}'
	says failed wrong-type
	LOOK_MS=1500 look '{"kind":"sqlite","path":"a.db","query":"WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT count(*) FROM r"}'
	says unknown deadline
	look "{\"kind\":\"sqlite\",\"path\":\"a.db\",\"execute\":\"DELETE FROM jobs WHERE id = \$(CANARY)\",\"canary\":\"c1\"}"
	says passed none
	fact rows 1
}

@test "command: exit code, deadline, and nothing left running" {
	look '{"kind":"command","command":["sh","-c","echo ready; exit 3"],"exitCode":3,"contains":"ready"}'
	says passed none
	look '{"kind":"command","command":["sh","-c","exit 3"]}'
	says failed mismatch 3
	look '{"kind":"command","command":["no-such-command-here"]}'
	says failed not-found
	look "{\"kind\":\"command\",\"command\":[\"sh\",\"-c\",\"echo $SECRET\"],\"secrets\":[\"$SECRET\"]}"
	says passed none
	LOOK_MS=1500 look '{"kind":"command","command":["sh","-c","echo $$ >pid; exec tail -f /dev/null"]}'
	says unknown deadline
	run kill -0 "$(cat pid)"
	[ "$status" -ne 0 ]
	LOOK_MS=1500 look '{"kind":"command","command":["sh","-c","yes"]}'
	says unknown deadline
}

@test "file: there, not there, holding, and no file at all" {
	echo "$SECRET and more" >f
	look '{"kind":"file","path":"f","contains":"and more"}'
	says passed none
	look '{"kind":"file","path":"f","contains":"and less"}'
	says failed mismatch
	look '{"kind":"file","path":"absent"}'
	says failed not-found
	look '{"kind":"file","path":"absent","exists":false}'
	says passed none
	mkfifo pipe
	look '{"kind":"file","path":"pipe","contains":"x"}'
	says failed wrong-type
}

@test "requests that are none are answered, and the prober goes on" {
	{
		echo 'nonsense'
		echo '[]'
		echo '{"kind":"no-such-kind","subject":"a"}'
		echo '{"kind":"redis","subject":"b"}'
		echo '{"kind":"redis","subject":"c","url":7}'
		echo '{"kind":"dns","subject":"d","host":"127.0.0.1"}'
	} | timeout 30 "$REEVE_TOOL" probe | grep -v progress >out
	[ "$(wc -l <out)" = 6 ]
	[ "$(jq -r .result out | sort | uniq -c | tr -s ' ' | tr '\n' ';')" = " 1 passed; 5 unknown;" ]
}

@test "supervisor: none, a dead socket, one that hangs, one that answers" {
	mkdir sockets
	local where="{\"kind\":\"supervisor\",\"places\":[{\"operator\":\"$PWD/sockets/operator.sock\",\"init\":\"$PWD/sockets/init.sock\"}]}"
	look "$where"
	says failed not-found
	tells "$PWD/sockets/operator.sock"
	python3 -c 'import socket
s = socket.socket(socket.AF_UNIX); s.bind("sockets/operator.sock"); s.listen(1)'
	look "$where"
	says failed not-found
	python3 -c 'import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.bind("sockets/init.sock"); s.listen(1)
import time; open("listens", "w"); time.sleep(600)' 3>&- 4>&- &
	remember $!
	wait_until test -e listens
	LOOK_MS=1500 look "$where"
	says unknown unavailable
	rm sockets/operator.sock
	# it has its name when it listens: until then it would refuse
	start_background hung python3 -c 'import os, socket, time
s = socket.socket(socket.AF_UNIX); s.bind("hung.sock"); s.listen(1)
os.rename("hung.sock", "sockets/operator.sock"); time.sleep(600)'
	wait_until test -S sockets/operator.sock
	LOOK_MS=1500 look "$where"
	says unknown silent
	rm sockets/operator.sock
	cat >answer.py <<-'PY'
	import http.server, os, socketserver
	BODY = b'{"schema":"reeve.status/1","name":"fileprocess","operator":{"pid":7,"state":"running"},"workers":[{"name":"w","desired":2,"ready":1,"instances":[]}],"drift":[]}'
	class H(http.server.BaseHTTPRequestHandler):
	    def do_GET(self):
	        self.send_response(200 if self.path == "/status" else 404)
	        self.end_headers()
	        self.wfile.write(BODY)
	class S(socketserver.UnixStreamServer):
	    def get_request(self):
	        return self.socket.accept()[0], ("x", 0)
	server = S("answers.sock", H)
	os.rename("answers.sock", "sockets/operator.sock")
	server.serve_forever()
	PY
	start_background answers python3 answer.py
	wait_until test -S sockets/operator.sock
	look "$where"
	says passed none
	[ "$(jq -r .supervisor.workers[0].desired <<<"$ANSWER")" = 2 ]
}

@test "a prober holds secrets: no core, no tracing, no life without its parent" {
	mkfifo in
	# shellcheck disable=SC2016
	start_background parent bash -c '"$1" probe <in & echo $!; wait' - "$REEVE_TOOL"
	exec 7>in
	echo '{"kind":"dns","subject":"a","host":"127.0.0.1"}' >&7
	wait_until grep -q '"passed"' "$BACKGROUND_LOG"
	pid=$(head -1 "$BACKGROUND_LOG")
	grep -q '^Max core file size *0 *0 ' "/proc/$pid/limits"
	# not dumpable: its /proc files belong to root, whoever it is
	[ "$(stat -c %U "/proc/$pid/environ")" = root ]
	born=$(start_time "$pid")
	kill -KILL "$BACKGROUND_PID"
	wait_until gone "$pid" "$born"
	exec 7>&-
}
