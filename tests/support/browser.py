"""A real browser without a window, spoken to over two pipes: Chromium's DevTools protocol.

    requests    {"id", "method", "params", "sessionId"}, a zero byte after each
    answers     {"id", "result"} or {"id", "error"}; events have a "method" and no "id"

No package is needed for that, only Chromium: `apt-get install chromium` on Debian.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 60.0
# `--no-sandbox`: as root, such as in a container, Chromium has none. Pages are the tests' own.
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


def find_browser() -> str | None:
    """Path of a Chromium on this machine, None when there is none."""
    return next((path for path in map(shutil.which, PROGRAMS) if path), None)


class Browser:
    """One running Chromium; made by `running_browser`."""

    def __init__(self, requests: int, answers: int) -> None:
        self._requests, self._answers = requests, answers
        self._buffer, self._number = b"", 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """The result of a request; events that come before it are kept."""
        self._number += 1
        request: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session is not None:
            request["sessionId"] = session
        os.write(self._requests, json.dumps(request).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            if "method" in answer:
                self.events.append(answer)

    def wait(self, method: str) -> None:
        """Until an event has come since the events were last cleared."""
        while not any(one["method"] == method for one in self.events):
            self.events.append(self._next())

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, end - time.monotonic()))
            part = os.read(self._answers, 1 << 16) if ready else b""
            if not part:
                raise RuntimeError("the browser does not answer, or has ended")
            self._buffer += part
        message, self._buffer = self._buffer.split(b"\0", 1)
        found: dict[str, Any] = json.loads(message)
        return found

    @contextlib.contextmanager
    def page(
        self, path: Path, width: int, height: int = 844, scheme: str = "light"
    ) -> Iterator[Page]:
        """A file as a page of this size in CSS pixels, in the scheme `light` or `dark`."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        self.events.clear()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable", session)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", session, **size)
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", session, features=media)
        self.call("Page.navigate", session, url=path.resolve().as_uri())
        self.wait("Page.loadEventFired")
        yield page
        self.call("Target.closeTarget", targetId=target)


class Page:
    """A page that is shown."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        found = self._browser.call(
            "Runtime.evaluate", self._session, expression=script, returnByValue=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(json.dumps(found["exceptionDetails"])[:2000])
        return found["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """A key goes down and up."""
        for kind in ("keyDown", "keyUp"):
            self._browser.call(
                "Input.dispatchKeyEvent",
                self._session,
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
            )

    def complaints(self) -> list[str]:
        """What the browser logged: errors, warnings, blocked or missing files."""
        self.run("1")
        kinds = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        return [json.dumps(one) for one in self._browser.events if one["method"] in kinds]

    def requests(self) -> list[str]:
        """Addresses that the page asked for."""
        return [
            str(one["params"]["request"]["url"])
            for one in self._browser.events
            if one["method"] == "Network.requestWillBeSent"
        ]

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """The page as a PNG; the whole of it, or what fits the screen."""
        found = self._browser.call(
            "Page.captureScreenshot", self._session, captureBeyondViewport=whole
        )
        path.write_bytes(base64.b64decode(found["data"]))


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """A browser for some pages; its profile is temporary.

    Raises:
        RuntimeError: there is none, or it does not start.
    """
    program = find_browser()
    if program is None:
        raise RuntimeError("no Chromium is installed")
    theirs, requests = os.pipe()
    answers, ours = os.pipe()

    def give() -> None:
        """Chromium reads at 3 and writes at 4, whichever numbers the pipes have here."""
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 64) for end in (theirs, ours)]
        for number, end in enumerate(ends, 3):
            os.dup2(end, number)

    with tempfile.TemporaryDirectory(prefix="qdeploy-browser-", ignore_cleanup_errors=True) as home:
        process = subprocess.Popen(
            [program, *OPTIONS, f"--user-data-dir={home}/profile"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": home},
            pass_fds=(3, 4),
            preexec_fn=give,
        )
        os.close(theirs)
        os.close(ours)
        browser = Browser(requests, answers)
        try:
            yield browser
            browser.call("Browser.close")
        finally:
            os.close(requests)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(answers)
