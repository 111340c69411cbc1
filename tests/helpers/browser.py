"""A headless Chromium, driven over its DevTools protocol: `--remote-debugging-pipe`, without a driver or a port.

Commands and events are JSON, each ended by a zero byte, on the file descriptors 3 and 4 of the browser.
Source: https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.helpers.waiting import PATIENCE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root, where Chromium refuses its sandbox
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-pipe",
)

# Becomes the command in argv[3:], with the descriptors argv[1] and argv[2] as 3 and 4.
_EXEC = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for number, end in enumerate(ends, start=3):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""


class PageError(AssertionError):
    """A script in the page failed, or a condition did not come true in time."""


class Page:
    """One tab. `violations` are reports of the content security policy and uncaught exceptions."""

    def __init__(self, browser: "_Pipe", session: str) -> None:
        self.violations: list[str] = []
        self._browser = browser
        self._session = session
        for domain in ("Page", "Runtime", "Log"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **params: Any) -> Mapping[str, Any]:
        return self._browser.call(method, params, self._session, self._on_event)

    def _on_event(self, event: Mapping[str, Any]) -> None:
        params = event.get("params", {})
        if event["method"] == "Runtime.exceptionThrown":
            self.violations.append(str(params["exceptionDetails"]))
        if event["method"] == "Log.entryAdded" and params["entry"]["source"] == "security":
            self.violations.append(params["entry"]["text"])

    def open(self, url: str) -> None:
        self.command("Page.navigate", url=url)
        self.wait_for(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        result = self.command("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise PageError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Waits until the JavaScript expression `condition` is true."""
        deadline = time.monotonic() + PATIENCE
        while not self.evaluate(f"Boolean({condition})"):
            if time.monotonic() > deadline:
                raise PageError(f"not true in time: {condition}; the page: {self.text('body')}")
            time.sleep(0.02)

    def text(self, selector: str) -> str:
        """The visible text of the first element that matches; "" without one."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def type(self, selector: str, text: str) -> None:
        """Replaces the value of a field as a person does: focus, select all, type, leave."""
        field = f"document.querySelector({json.dumps(selector)})"
        self.evaluate(f"{field}.focus(), {field}.select()")
        self.command("Input.insertText", text=text)
        self.evaluate(f"{field}.blur()")

    def click(self, selector: str) -> None:
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def press(self, key: str, *, control: bool = False) -> None:
        codes = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowRight": 39}
        event = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key], "modifiers": 2 if control else 0}
        self.command("Input.dispatchKeyEvent", type="rawKeyDown", **event)
        self.command("Input.dispatchKeyEvent", type="keyUp", **event)

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """The size in CSS pixels, and the color scheme."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path) -> None:
        data = self.command("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))


class _Pipe:
    def __init__(self, write: int, read: int) -> None:
        self._write = write
        self._read = read
        self._buffer = b""
        self._ids = itertools.count(1)

    def call(
        self, method: str, params: Mapping[str, Any], session: str = "", on_event: Any = None
    ) -> Mapping[str, Any]:
        id_ = next(self._ids)
        message = {"id": id_, "method": method, "params": params, **({"sessionId": session} if session else {})}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            received = self._receive()
            if received.get("id") == id_:
                if "error" in received:
                    raise PageError(f"{method}: {received['error']}")
                result: Mapping[str, Any] = received["result"]
                return result
            if on_event and "method" in received:
                on_event(received)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], PATIENCE)[0]:
                raise PageError("The browser does not answer.")
            data = os.read(self._read, 1 << 20)
            if not data:
                raise PageError("The browser has ended.")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        received: dict[str, Any] = json.loads(message)
        return received


@contextmanager
def running_browser() -> Iterator[Page]:
    """A tab of a browser of its own, with an empty profile."""
    assert CHROMIUM, "see CHROMIUM"
    to_browser, from_browser = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [sys.executable, "-c", _EXEC, str(to_browser[0]), str(from_browser[1]), CHROMIUM,
             *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(to_browser[0], from_browser[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser[0])
        os.close(from_browser[1])
        try:
            pipe = _Pipe(to_browser[1], from_browser[0])
            target = pipe.call("Target.createTarget", {"url": "about:blank"})["targetId"]
            session = pipe.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
            yield Page(pipe, session)
        finally:
            process.kill()
            process.wait()
            os.close(to_browser[1])
            os.close(from_browser[0])
