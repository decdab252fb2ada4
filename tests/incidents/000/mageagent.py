# SPDX-License-Identifier: Apache-2.0
"""The OCR service of incident 000 (a stub: the real one isn't public). Answers
200 at / and at POST PATH; with the file FLAG there, PATH is 404 as it was."""
import http.server
import os
import sys

PORT, PATH, FLAG = int(sys.argv[1]), sys.argv[2], sys.argv[3]


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, b'{"status":"ok"}')

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == PATH and not os.path.exists(FLAG):
            self.answer(200, b'{"text":"hello"}')
        else:
            self.answer(404, b'{"error":"NOT_FOUND","message":"Endpoint"}')


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
