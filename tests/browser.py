"""Chromium, driven through chromedriver by the WebDriver protocol (W3C): what the tests of pages need of it, and no more."""

import base64
import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's name for a reference to an element
KEYS = {"ArrowLeft": "\ue012", "ArrowUp": "\ue013", "ArrowRight": "\ue014", "ArrowDown": "\ue015", "Space": " "}
PHONE = {"deviceMetrics": {"width": 390, "height": 844, "pixelRatio": 3, "touch": True}}


def missing():
    """What there is not of what a browser takes, or None."""
    chromium = next(filter(shutil.which, ("chromium", "chromium-browser", "google-chrome")), None)
    if chromium is None:
        return "no chromium"
    return None if shutil.which("chromedriver") else "no chromedriver (Debian: chromium-driver)"


class Browser:
    """A browser with one page. phone: 390 x 844 with touch, rather than a desktop's 1280 x 800."""

    def __init__(self, phone=False):
        self.touch = phone
        self.driver = subprocess.Popen([shutil.which("chromedriver"), "--port=0"], stdout=subprocess.PIPE, text=True)
        port = next(match[1] for line in self.driver.stdout if (match := re.search(r"successfully on port (\d+)", line)))
        self.url = f"http://localhost:{port}/session"
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,800"]
        options = {"args": arguments, "mobileEmulation": PHONE} if phone else {"args": arguments}
        logs = {"browser": "ALL", "performance": "ALL"}
        capabilities = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": logs}}
        self.url += "/" + self._post("", {"capabilities": capabilities})["sessionId"]

    def close(self):
        self._send(urllib.request.Request(self.url, method="DELETE"))
        self.driver.terminate()
        self.driver.wait()
        self.driver.stdout.close()

    def open(self, path):
        """Load a page anew."""
        self._post("/url", {"url": "about:blank"})
        self._post("/url", {"url": Path(path).resolve().as_uri()})

    def run(self, script, *arguments):
        """Return what a script returns; its arguments are arguments[0] ..."""
        return self._post("/execute/sync", {"script": script, "args": arguments})

    def drag(self, selector, *points):
        """Press at the first point of an element, move to the others, and let go; points from 0 to 1 across and down."""
        element = self._post("/element", {"using": "css selector", "value": selector})
        box = self.run("arguments[0].scrollIntoView({block: 'center'}); const box = arguments[0].getBoundingClientRect();"
                       "return [box.width, box.height]", element)
        moves = [{"type": "pointerMove", "duration": 20, "origin": element,
                  **{axis: round((at - 0.5) * size) for axis, at, size in zip("xy", point, box)}} for point in points]
        self._act({"type": "pointer", "id": "pointer", "parameters": {"pointerType": "touch" if self.touch else "mouse"},
                   "actions": [moves[0], {"type": "pointerDown", "button": 0}, *moves[1:], {"type": "pointerUp", "button": 0}]})

    def click(self, selector, x=0.5, y=0.5):
        self.drag(selector, (x, y))

    def press(self, selector, *keys):
        """Give an element the focus and press keys."""
        self.run("document.querySelector(arguments[0]).focus()", selector)
        values = [KEYS.get(key, key) for key in keys]
        self._act({"type": "key", "id": "keyboard", "actions": [{"type": kind, "value": value} for value in values
                                                                for kind in ("keyDown", "keyUp")]})

    def complaints(self):
        """Return what the page has reported: errors of its script, things its policy has refused."""
        return [entry["message"] for entry in self._post("/se/log", {"type": "browser"})]

    def requests(self):
        """Return the addresses of all that the page has asked for, itself included."""
        messages = [json.loads(entry["message"])["message"] for entry in self._post("/se/log", {"type": "performance"})]
        return [message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"]

    def screenshot(self, path):
        Path(path).write_bytes(base64.b64decode(self._send(urllib.request.Request(f"{self.url}/screenshot"))))

    def _act(self, source):
        self._post("/actions", {"actions": [source]})

    def _post(self, path, content):
        return self._send(urllib.request.Request(self.url + path, json.dumps(content).encode(),
                                                 {"Content-Type": "application/json"}))

    def _send(self, request):
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]
