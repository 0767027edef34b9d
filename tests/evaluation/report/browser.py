"""A headless Chromium, spoken to over two pipes (its DevTools protocol); nothing to install."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


def find_browser() -> str | None:
    """The path of a Chromium, None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a headless Chromium; a context manager.

    `errors` collects uncaught exceptions, console errors and violations of the page's policy;
    `requests` all addresses that were asked for.
    """

    def __init__(self, path: str, *, width: int = 1300, height: int = 900, timeout_s: float = 60):
        self.timeout_s = timeout_s
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        read_commands, self.write_end = os.pipe()
        self.read_end, write_answers = os.pipe()

        def place_pipes() -> None:  # the browser reads from 3 and writes to 4
            commands, answers = os.dup(read_commands), os.dup(write_answers)
            os.dup2(commands, 3)
            os.dup2(answers, 4)

        self.process = subprocess.Popen(
            [path, *FLAGS, f"--user-data-dir={self.profile.name}", "about:blank"],
            preexec_fn=place_pipes,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(read_commands)
        os.close(write_answers)
        self.buffer, self.number, self.session = b"", 0, None
        targets = self.send("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        attached = self.send("Target.attachToTarget", targetId=page, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.resize(width, height)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.write_end)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.read_end)
        self.profile.cleanup()

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its answer."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        mine = self.number
        answer = self._until(lambda message: message.get("id") == mine)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _until(self, wanted) -> dict[str, Any]:
        end = time.monotonic() + self.timeout_s
        while True:
            while b"\0" in self.buffer:
                line, self.buffer = self.buffer.split(b"\0", 1)
                message = json.loads(line)
                self._note(message)
                if wanted(message):
                    return message
            ready, _, _ = select.select([self.read_end], [], [], max(end - time.monotonic(), 0))
            piece = os.read(self.read_end, 1 << 20) if ready else b""
            if not piece:
                raise RuntimeError("the browser did not answer")
            self.buffer += piece

    def _note(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params", {})
        if method:
            self.events.append(message)
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def resize(self, width: int, height: int) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def show(self, *, dark: bool = False, medium: str = "") -> None:
        """How the page is to look: in the dark, or as `print`."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", media=medium, features=[scheme])

    def scripts(self, *, allowed: bool) -> None:
        self.send("Emulation.setScriptExecutionDisabled", value=not allowed)

    def open(self, path: Path, fragment: str = "") -> float:
        """Loads a file; seconds until it was loaded."""
        self._navigate("about:blank")  # else a fragment alone would load nothing
        self.errors.clear()
        started = time.monotonic()
        self._navigate(Path(path).resolve().as_uri() + fragment)
        return time.monotonic() - started

    def _navigate(self, url: str) -> None:
        self.events.clear()
        loaded = "Page.loadEventFired"
        self.send("Page.navigate", url=url)
        if not any(event["method"] == loaded for event in self.events):
            self._until(lambda message: message.get("method") == loaded)

    def value(self, expression: str) -> Any:
        """What JavaScript makes of an expression, promises awaited."""
        result = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(str(result["exceptionDetails"]))
        return result["result"].get("value")

    def press(self, key: str, text: str | None = None) -> None:
        """One key; `text` is what it types, the key itself if that is one character."""
        text = (key if len(key) == 1 else "") if text is None else text
        for kind in ("keyDown", "keyUp"):
            params = {"type": kind, "key": key} | (
                {"text": text} if kind == "keyDown" and text else {}
            )
            self.send("Input.dispatchKeyEvent", **params)

    def wait_for(self, expression: str) -> None:
        """Until an expression is true."""
        self.value(
            "new Promise((done, fail) => { const end = Date.now() + 20000; const look = () => {"
            f"if ({expression}) done(true); else if (Date.now() > end) fail(new Error('never')); "
            "else requestAnimationFrame(look); }; look(); })"
        )

    def screenshot(self, path: Path | None = None, *, whole: bool = False) -> bytes:
        """A PNG of what is in sight, or of the whole page."""
        picture = self.send("Page.captureScreenshot", captureBeyondViewport=whole, format="png")
        content = base64.b64decode(picture["data"])
        if path:
            Path(path).write_bytes(content)
        return content

    def pdf(self) -> bytes:
        """The page as printed."""
        return base64.b64decode(self.send("Page.printToPDF", printBackground=True)["data"])
