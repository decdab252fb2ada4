# SPDX-License-Identifier: Apache-2.0
"""Times looks at queues, as whoever asks for them waits.

    looks.py PROBER COUNT < REQUESTS

Each line of REQUESTS is a prober's request, or an array of them. Every line has
a prober of its own, with the connection that it keeps; they are asked in turn,
COUNT times each, so that what else the machine does falls on all alike. One
line of JSON for each: least and median in ms, and the last answers.
"""
import json
import subprocess
import sys
import time

WARM = 3  # looks before the first that counts: connections, catalogues, plans


class Prober:
    def __init__(self, tool, line):
        self.line = line.encode() + b"\n"
        request = json.loads(line)
        self.expected = len(request) if isinstance(request, list) else 1
        self.process = subprocess.Popen([tool, "probe"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.ms = []
        self.answers = []

    def look(self):
        self.answers = []
        begun = time.perf_counter()
        self.process.stdin.write(self.line)
        self.process.stdin.flush()
        while len(self.answers) < self.expected:
            answer = self.process.stdout.readline()
            if not answer:
                sys.exit("looks.py: the prober ended")
            if not answer.startswith(b'{"progress"'):
                self.answers.append(answer)
        self.ms.append((time.perf_counter() - begun) * 1000)


def main():
    tool, count = sys.argv[1], int(sys.argv[2])
    probers = [Prober(tool, line.strip()) for line in sys.stdin if line.strip()]
    for _ in range(count + WARM):
        for prober in probers:
            prober.look()
    for prober in probers:
        prober.process.stdin.close()
        prober.process.wait()
        ms = sorted(prober.ms[WARM:])
        answers = [json.loads(answer) for answer in prober.answers]
        failed = [a["summary"] for a in answers if a["result"] != "passed"]
        if failed:
            sys.exit(f"looks.py: {failed[0]}")
        print(json.dumps({"least": ms[0], "median": ms[len(ms) // 2],
                          "queue": answers[0]["queue"]}))


main()
