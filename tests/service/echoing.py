# SPDX-License-Identifier: Apache-2.0
"""Repeats in an error what it was told: as a Redis server, or to HTTP requests.

Prints its port."""
import socket
import threading

server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)


def repeat(client):
    try:
        while heard := client.recv(4096):
            said = b" ".join(heard.split())
            if b"HTTP/1" in heard:
                client.sendall(b"HTTP/1.1 500 no\r\nContent-Length: %d\r\n\r\n" % len(said) + said)
            else:
                client.sendall(b"-ERR you said " + said + b"\r\n")
    except OSError:
        pass


while True:
    threading.Thread(target=repeat, args=(server.accept()[0],), daemon=True).start()
