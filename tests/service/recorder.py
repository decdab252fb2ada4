# SPDX-License-Identifier: Apache-2.0
"""recorder.py PORT FILE: appends the body of each POST to FILE, one a line.

Answers 200, or what the file FILE.code holds.
"""
import http.server
import os
import sys


class Recorder(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        code = 200
        if os.path.exists(sys.argv[2] + ".code"):
            with open(sys.argv[2] + ".code", encoding="ascii") as file:
                code = int(file.read())
        name = sys.argv[2] if code == 200 else sys.argv[2] + ".refused"
        with open(name, "ab") as file:
            file.write(body.replace(b"\n", b" ") + b"\n")
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Recorder).serve_forever()
