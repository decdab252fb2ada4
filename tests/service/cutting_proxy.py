# SPDX-License-Identifier: Apache-2.0
"""cutting_proxy.py PORT TARGET_PORT WORD HOW: passes everything on between a
client and a server, until a client says WORD (or in turn WORD>WORD…). Then, once: `before`: the
connection ends and the server never hears it; `after`: the server hears it and
the client never hears the answer; `garbage`: the client hears garbage instead;
`stall`: the client hears nothing more."""
import os
import socket
import sys
import threading

port, target, word, how = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
words = word.encode().split(b">")
server = socket.create_server(("127.0.0.1", port))


def close(*sockets):
    for one in sockets:
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def answers(upstream, client, cut):
    try:
        while data := upstream.recv(65536):
            if not cut.is_set():
                client.sendall(data)
            elif how == "garbage":
                client.sendall(b"\x00\xff*99999999999\r\n$-7\r\n" * 50)
                break
            elif how == "after":
                break
            else:
                os.write(1, b"stalled\n")
    except OSError:
        pass
    close(upstream, client)


def serve(client):
    upstream = socket.create_connection(("127.0.0.1", target))
    cut = threading.Event()
    threading.Thread(
        target=answers, args=(upstream, client, cut), daemon=True).start()
    try:
        while data := client.recv(65536):
            said = bool(words) and words[0] in data
            if said:
                words.pop(0)
            if said and not words:
                if how == "before":
                    break
                cut.set()
            upstream.sendall(data)
    except OSError:
        pass
    close(upstream, client)


while True:
    connection, _ = server.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
