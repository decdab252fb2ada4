# SPDX-License-Identifier: Apache-2.0
"""A server that accepts and says nothing, or (drip) one byte a second."""
import socket
import sys
import threading
import time

port, mode = int(sys.argv[1]), sys.argv[2]
server = socket.create_server(("127.0.0.1", port))
held = []


def drip(client):
    try:
        while True:
            client.sendall(b"H")
            time.sleep(1)
    except OSError:
        pass


while True:
    client, _ = server.accept()
    held.append(client)
    if mode == "drip":
        threading.Thread(target=drip, args=(client,), daemon=True).start()
