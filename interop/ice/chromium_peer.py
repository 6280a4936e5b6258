"""The ICE agent of Chromium as a peer that speaks the lines of `bradawl-peer ice`.

Starts a browser without a window, drives it over `--remote-debugging-pipe`, and passes the lines
to and from chromium_peer.js, which runs in an empty page.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from protocol import at, emit, flags, parse

SCRIPT = pathlib.Path(__file__).with_name("chromium_peer.js")
# How often the page looks which pair is selected: no event says that it has changed.
LOOK_EVERY_MS = 100


class Browser:
    """A browser and one page in it."""

    def __init__(self, options):
        self.profile = tempfile.mkdtemp(prefix="bradawl-interop-")
        # The browser reads commands from its 3 and writes answers to its 4, each ended by a zero byte.
        theirs_in, self.commands = os.pipe()
        self.answers, theirs_out = os.pipe()
        hidden = ["Translate", "MediaRouter"] + ([] if options.mdns else ["WebRtcHideLocalIpsWithMdns"])
        command = [
            "chromium", "--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--disable-gpu",
            "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--allow-loopback-in-peer-connection", "--no-zygote",
            f"--disable-features={','.join(hidden)}", f"--user-data-dir={self.profile}", "about:blank",
        ]  # fmt: skip
        shell = ["sh", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "sh", *command]
        self.child = subprocess.Popen(
            shell, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=(theirs_in, theirs_out), start_new_session=True, env=os.environ | {"TMPDIR": self.profile},
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self.number = 0
        self.session = None
        self.rest = b""

    def call(self, method, **parameters):
        """Sends a command and does not wait; its number."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        return self.number

    def messages(self):
        """What it says, until it ends."""
        while True:
            while b"\0" in self.rest:
                message, _, self.rest = self.rest.partition(b"\0")
                yield json.loads(message)
            more = os.read(self.answers, 1 << 16)
            if not more:
                return
            self.rest += more

    def ask(self, method, **parameters):
        """Sends a command and waits for its result."""
        number = self.call(method, **parameters)
        for message in self.messages():
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]
        raise RuntimeError("the browser has ended")

    def evaluate(self, script):
        self.call("Runtime.evaluate", expression=script)

    def open(self, options):
        """A page with our script in it, and who the browser says it is."""
        product = self.ask("Browser.getVersion")["product"]
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.ask("Runtime.enable")
        self.ask("Runtime.addBinding", name="emit")
        self.ask("Runtime.evaluate", expression=SCRIPT.read_text())
        settings = vars(options) | {
            "stun": options.stun and at(*options.stun),
            "turn": options.turn and at(*options.turn),
            "impl": re.sub(r"^\w+/", "Chromium ", product),
        }
        self.evaluate(f"var peer = new Peer({json.dumps(settings)}); peer.take({{type: 'begin'}});"
                      f"setInterval(() => peer.selected(), {LOOK_EVERY_MS})")  # fmt: skip

    def listen(self):
        """Prints what the page says."""
        for message in self.messages():
            if message.get("method") == "Runtime.bindingCalled":
                line = json.loads(message["params"]["payload"])
                emit(line.pop("type"), **line)
            elif error := message.get("result", {}).get("exceptionDetails"):
                emit("error", message=str(error.get("exception", {}).get("description", error["text"])))

    def end(self):
        # Whoever ends us closes stdin and sends a signal: one of them is enough.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
        # The browser's other processes may still be writing while they die.
        for _ in range(20):
            shutil.rmtree(self.profile, ignore_errors=True)
            if not os.path.exists(self.profile):
                return
            time.sleep(0.02)


def obey(browser):
    """Passes the lines on, until there are no more."""
    for line in sys.stdin:
        try:
            message = parse(line)
        except ValueError as error:
            emit("error", message=str(error))
            continue
        if message["type"] == "close":
            return
        browser.evaluate(f"peer.take({json.dumps(message)})")


def terminated(_signal, _frame):
    raise SystemExit(143)


def main():
    options = flags(mdns="hide the addresses of the host behind mDNS names, as a browser does")
    signal.signal(signal.SIGTERM, terminated)
    browser = Browser(options)
    try:
        browser.open(options)
        threading.Thread(target=browser.listen, daemon=True).start()
        obey(browser)
    finally:
        browser.end()


if __name__ == "__main__":
    main()
