# SPDX-License-Identifier: Apache-2.0
"""recorder.py PORT FILE: what a receiver of alerts may be, good and bad.

Appends the body of each POST to FILE, one a line, and to FILE.requests a JSON
object with its path, headers and body as text. Answers 200, or as the file
FILE.code says: a status, optionally with Retry-After ("429 2"), or `hang`,
`close`, `garbage`, `slow`. What isn't answered 2xx goes to FILE.refused.
"""
import http.server
import json
import os
import sys
import time


class Recorder(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        words = ["200"]
        if os.path.exists(sys.argv[2] + ".code"):
            with open(sys.argv[2] + ".code", encoding="ascii") as file:
                words = file.read().split() or words
        taken = words[0] in ("200", "202", "slow")
        if words[0] == "slow":
            time.sleep(2)
        with open(sys.argv[2] + ".requests", "a", encoding="utf-8") as file:
            request = {
                "path": self.path,
                "taken": taken,
                "headers": {k.lower(): v for k, v in self.headers.items()},
                "body": body.decode(),
            }
            file.write(json.dumps(request) + "\n")
        name = sys.argv[2] if taken else sys.argv[2] + ".refused"
        with open(name, "ab") as file:
            file.write(body.replace(b"\n", b" ") + b"\n")
        if words[0] == "hang":
            while os.path.exists(sys.argv[2] + ".code"):
                time.sleep(0.05)
            self.close_connection = True
        elif words[0] == "close":
            self.close_connection = True
        elif words[0] == "garbage":
            self.wfile.write(b"\x00\xff not HTTP\r\n\r\n")
            self.close_connection = True
        else:
            self.send_response(200 if words[0] == "slow" else int(words[0]))
            if len(words) > 1:
                self.send_header("Retry-After", words[1])
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(
    ("127.0.0.1", int(sys.argv[1])), Recorder
).serve_forever()
