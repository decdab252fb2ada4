# SPDX-License-Identifier: Apache-2.0
"""What librdkafka's mock cluster lacks of Kafka's protocol, put before it.

    kafka_relay.py PORT UPSTREAM-PORT

Every request goes on to the mock's one broker, and its addresses in the answers
become ours. DescribeGroups and ListGroups, which the mock doesn't know, are
answered here, from what JoinGroup, SyncGroup, LeaveGroup and OffsetCommit said
as they passed by. Written from the protocol's public description.
"""
import socket
import struct
import sys
import threading

PORT, UPSTREAM = int(sys.argv[1]), int(sys.argv[2])
OFFSET_COMMIT, JOIN, LEAVE, SYNC, DESCRIBE, LIST, VERSIONS = 8, 11, 13, 14, 15, 16, 18
groups = {}
lock = threading.Lock()


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        (value,) = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return value

    def bytes(self, form):
        n = self.take(form)
        if n < 0:
            return None
        value = self.data[self.at:self.at + n]
        self.at += n
        return value

    def text(self):
        value = self.bytes("h")
        return None if value is None else value.decode()


def text(value):
    return struct.pack(">h", len(value.encode())) + value.encode()


def blob(value):
    return struct.pack(">i", len(value)) + value


def group_of(name):
    return groups.setdefault(name, {"members": {}, "state": "Empty", "type": "consumer"})


def read_exactly(sock, n):
    data = b""
    while len(data) < n:
        more = sock.recv(n - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def read_frame(sock):
    return read_exactly(sock, struct.unpack(">i", read_exactly(sock, 4))[0])


def describe(request):
    body = b""
    count = request.take("i")
    for _ in range(count):
        name = request.text()
        group = groups.get(name)
        body += struct.pack(">h", 0) + text(name)
        if group is None:
            body += text("Dead") + text("") + text("") + struct.pack(">i", 0)
            continue
        stable = group["state"] == "Stable"
        body += text(group["state"]) + text(group["type"]) + text("range" if stable else "")
        body += struct.pack(">i", len(group["members"]))
        for member, about in group["members"].items():
            body += text(member) + text(about["client"]) + text("/" + about["host"])
            body += blob(b"") + blob(about["share"] if stable else b"")
    return struct.pack(">i", count) + body


def list_groups():
    body = struct.pack(">hi", 0, len(groups))
    for name, group in groups.items():
        body += text(name) + text(group["type"])
    return body


class Connection:
    def __init__(self, client, host):
        self.client, self.host = client, host
        self.up = socket.create_connection(("127.0.0.1", UPSTREAM))
        self.asked, self.members, self.sending = {}, [], threading.Lock()

    def answer(self, correlation, body):
        frame = struct.pack(">i", correlation) + body
        with self.sending:
            self.client.sendall(struct.pack(">i", len(frame)) + frame)

    def note_request(self, key, version, correlation, request, client):
        if key == JOIN:
            name = request.text()
            self.asked[correlation] = (key, version, name, client)
            if group_of(name)["members"]:
                group_of(name)["state"] = "PreparingRebalance"
        elif key == SYNC:
            name, _, _ = request.text(), request.take("i"), request.text()
            if version >= 3:
                request.text()
            for _ in range(request.take("i")):
                member, share = request.text(), request.bytes("i")
                if member in group_of(name)["members"]:
                    group_of(name)["members"][member]["share"] = share
            self.asked[correlation] = (key, version, name, client)
        elif key == LEAVE:
            self.leave(request.text())
        elif key == OFFSET_COMMIT:
            name, generation = request.text(), request.take("i")
            if generation < 0 and name not in groups:
                group_of(name)["type"] = ""

    def leave(self, name):
        for group, member in list(self.members):
            if name in (None, group):
                groups[group]["members"].pop(member, None)
                self.members.remove((group, member))
                groups[group]["state"] = "PreparingRebalance" if groups[group]["members"] else "Empty"

    def note_answer(self, frame):
        reply = Reader(frame)
        what = self.asked.pop(reply.take("i"), None)
        if what is None:
            return
        key, version, name, client = what
        if version >= (2 if key == JOIN else 1):
            reply.take("i")
        if reply.take("h") != 0:
            return
        if key == JOIN:
            reply.take("i"), reply.text(), reply.text()
            member = reply.text()
            group_of(name)["members"].setdefault(member, {"client": client, "host": self.host, "share": b""})
            group_of(name)["state"] = "CompletingRebalance"
            if (name, member) not in self.members:
                self.members.append((name, member))
        elif key == SYNC:
            group_of(name)["state"] = "Stable"

    def requests(self):
        try:
            while True:
                frame = read_frame(self.client)
                request = Reader(frame)
                key, version, correlation = request.take("h"), request.take("h"), request.take("i")
                client = request.text() or ""
                with lock:
                    if key == VERSIONS and version > 0:
                        self.answer(correlation, struct.pack(">hi", 35, 0))
                        continue
                    if key == DESCRIBE:
                        self.answer(correlation, describe(request))
                        continue
                    if key == LIST:
                        self.answer(correlation, list_groups())
                        continue
                    self.note_request(key, version, correlation, request, client)
                    if key == VERSIONS:
                        self.asked[correlation] = (key, version, "", "")
                self.up.sendall(struct.pack(">i", len(frame)) + frame)
        except (EOFError, OSError):
            with lock:
                self.leave(None)
            self.up.close()

    def answers(self):
        try:
            while True:
                frame = read_frame(self.up)
                with lock:
                    (correlation,) = struct.unpack_from(">i", frame)
                    if self.asked.get(correlation, ("",))[0] == VERSIONS:
                        del self.asked[correlation]
                        (count,) = struct.unpack_from(">i", frame, 6)
                        frame = (frame[:6] + struct.pack(">i", count + 2) + frame[10:10 + 6 * count]
                                 + struct.pack(">6h", DESCRIBE, 0, 0, LIST, 0, 0))
                    else:
                        self.note_answer(frame)
                ours = b"127.0.0.1" + struct.pack(">i", PORT)
                frame = frame.replace(b"127.0.0.1" + struct.pack(">i", UPSTREAM), ours)
                with self.sending:
                    self.client.sendall(struct.pack(">i", len(frame)) + frame)
        except (EOFError, OSError):
            self.client.close()


listener = socket.create_server(("127.0.0.1", PORT))
while True:
    sock, peer = listener.accept()
    try:
        connection = Connection(sock, peer[0])
    except OSError:
        sock.close()
        continue
    threading.Thread(target=connection.requests, daemon=True).start()
    threading.Thread(target=connection.answers, daemon=True).start()
