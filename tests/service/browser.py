#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Opens a page in Chromium and says what is wrong with it.

    browser.py URL [--width N] [--height N] [--dark] [--no-script]
               [--loaded FILE] [--until EXPRESSION] [--screenshot FILE]
               [--server-ends]

Speaks the DevTools protocol over a pipe. Makes FILE once the page is loaded,
waits until EXPRESSION (JavaScript) is
true of the page, then prints it as text. Exits 1, with what was said, after an
error on the page's console, a breach of its policy, or something wider than
the window. With --server-ends the console may say that a request failed.
"""
import argparse
import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run
--disable-background-networking --disable-component-update --disable-sync
--hide-scrollbars --remote-debugging-pipe""".split()
SECONDS = 60


class Browser:
    def __init__(self):
        self.folder = tempfile.mkdtemp(
            prefix="chromium.", dir=os.environ.get("BATS_TEST_TMPDIR"))
        from_us, self.to = os.pipe()
        self.answers, to_us = os.pipe()
        command = ["chromium", *FLAGS, f"--user-data-dir={self.folder}", "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{from_us} 4>&{to_us}', "bash", *command],
            pass_fds=(from_us, to_us), start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(from_us)
        os.close(to_us)
        self.number, self.bytes, self.session, self.faults = 0, b"", None, []
        self.server_ends = False
        self.deadline = time.monotonic() + SECONDS

    def close(self):
        os.killpg(self.process.pid, signal.SIGKILL)  # with its helpers
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def message(self):
        while b"\0" not in self.bytes:
            left = self.deadline - time.monotonic()
            if left <= 0 or not select.select([self.answers], [], [], left)[0]:
                sys.exit(f"browser: no answer within {SECONDS} s")
            part = os.read(self.answers, 1 << 16)
            if not part:
                sys.exit("browser: chromium ended")
            self.bytes += part
        one, self.bytes = self.bytes.split(b"\0", 1)
        return json.loads(one)

    def notice(self, said):
        params = said.get("params", {})
        if said.get("method") == "Runtime.exceptionThrown":
            self.faults.append(params["exceptionDetails"]["text"])
        if said.get("method") == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.faults.append(str([one.get("value") for one in params["args"]]))
        if (said.get("method") == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning")
                and not (self.server_ends and params["entry"]["source"] == "network")):
            self.faults.append(params["entry"]["text"])

    def ask(self, method, **params):
        self.number += 1
        request = {"id": self.number, "method": method, "params": params}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.to, json.dumps(request).encode() + b"\0")
        while True:
            said = self.message()
            self.notice(said)
            if said.get("id") == self.number:
                if "error" in said:
                    sys.exit(f"browser: {method}: {said['error']}")
                return said["result"]

    def value(self, expression):
        return self.ask("Runtime.evaluate", expression=expression)["result"].get("value")

    def wait(self, expression):
        while not self.value(expression):
            if time.monotonic() > self.deadline:
                sys.exit(f"browser: never came true: {expression}")
            time.sleep(0.05)


def look(browser, args):
    target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
    browser.session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log"):
        browser.ask(domain + ".enable")
    browser.ask("Emulation.setDeviceMetricsOverride", width=args.width, height=args.height,
                deviceScaleFactor=1, mobile=args.width < 600)
    browser.ask("Emulation.setEmulatedMedia", features=[
        {"name": "prefers-color-scheme", "value": "dark" if args.dark else "light"}])
    browser.ask("Emulation.setScriptExecutionDisabled", value=args.no_script)
    browser.ask("Page.navigate", url=args.url)
    browser.wait("document.readyState === 'complete' && location.href !== 'about:blank'")
    if args.loaded:
        with open(args.loaded, "w"):
            pass
    browser.wait(args.until)
    width = browser.value("document.documentElement.scrollWidth")
    if width > args.width:
        browser.faults.append(f"{width} pixels wide in a window of {args.width}")
    if args.screenshot:
        image = browser.ask("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        with open(args.screenshot, "wb") as file:
            file.write(base64.b64decode(image))
    print(browser.value("document.body.innerText"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--width", type=int, default=1200)
    parser.add_argument("--height", type=int, default=1400)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--no-script", action="store_true")
    parser.add_argument("--loaded")
    parser.add_argument("--until", default="true")
    parser.add_argument("--screenshot")
    parser.add_argument("--server-ends", action="store_true")
    args = parser.parse_args()
    browser = Browser()
    browser.server_ends = args.server_ends
    try:
        look(browser, args)
    finally:
        browser.close()
    for fault in browser.faults:
        print("fault:", fault, file=sys.stderr)
    sys.exit(1 if browser.faults else 0)


main()
