# SPDX-License-Identifier: Apache-2.0
"""What probes.bats looks at: HTTP by path, TLS, silence, drips, no answers."""
import http.server
import socket
import ssl
import sys
import threading
import time

mode, port = sys.argv[1], int(sys.argv[2])


class Answers(http.server.BaseHTTPRequestHandler):
    """The path /NNN answers NNN, / 200, anything else 404."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        word = self.path[1:]
        code = int(word) if word.isdigit() else 200 if word == "" else 404
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/")
        self.end_headers()
        self.wfile.write(b"pong" if code == 200 else b"no")

    do_POST = do_GET


def listening():
    return socket.create_server(("127.0.0.1", port))


def silent():
    server, held = listening(), []
    while True:
        held.append(server.accept())


def drip():
    def answer(client):
        try:
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")
            while True:
                client.sendall(b"x")
                time.sleep(1)
        except OSError:
            pass

    server = listening()
    while True:
        client, _ = server.accept()
        threading.Thread(target=answer, args=(client,), daemon=True).start()


def full():
    """A backlog of none that is full: the next SYN is swallowed."""
    server = socket.socket()
    server.bind(("127.0.0.1", port))
    server.listen(0)
    held = [socket.socket() for _ in range(3)]
    for client in held:
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", port))
    time.sleep(600)


def dead_dns():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", port))
    time.sleep(600)


def serve_http(certificate=None, key=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Answers)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


{"http": serve_http, "https": serve_http, "silent": silent, "drip": drip,
 "full": full, "dead-dns": dead_dns}[mode](*sys.argv[3:])
