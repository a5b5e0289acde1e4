"""A small stand-in for a ComfyUI server: its routes and answers, without any drawing.

It answers as server.py and execution.py of ComfyUI do; what it "draws" is one color made of the
seed. The real program and its models are too large for a test.
"""

from __future__ import annotations

import io
import json
import threading
import urllib.parse
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from PIL import Image


@dataclass
class FakeComfyUI:
    """The server, what it was asked, and how it shall fail."""

    loras: Path | None = None  # the folder whose files LoraLoader knows
    failure: dict[str, Any] | None = None  # the execution_error of every workflow
    never_ends: bool = False
    images: int = 1  # pictures a workflow makes
    workflows: list[dict[str, Any]] = field(default_factory=list)
    seen_loras: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    interrupted: list[str] = field(default_factory=list)
    history: dict[str, Any] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)
    redirect_to: str = ""

    def __enter__(self) -> Self:
        """Listen on a free port of this machine."""
        fake = self

        class Handler(_Handler):
            owner = fake

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def queue(self, workflow: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Take a workflow as POST /prompt does: check the names of LoRAs, and run it."""
        names = [node["inputs"].get("lora_name") for node in workflow.values()]
        known = {file.name for file in self.loras.iterdir()} if self.loras else set()
        for number, name in zip(workflow, names, strict=True):
            if name is not None and name.rpartition("/")[2] not in known:
                error = {"message": "Value not in list", "details": f"lora_name: '{name}'"}
                bad = {number: {"errors": [error], "class_type": "LoraLoader"}}
                told = {"type": "prompt_outputs_failed_validation", "message": "failed validation"}
                return 400, {"error": told, "node_errors": bad}
        self.workflows.append(workflow)
        self.seen_loras += [name for name in names if name is not None]
        job = str(uuid.uuid4())
        if self.never_ends:
            self.running.append(job)
        else:
            self.history[job] = self._entry(workflow)
        return 200, {"prompt_id": job, "number": len(self.workflows), "node_errors": {}}

    def _entry(self, workflow: dict[str, Any]) -> dict[str, Any]:
        if self.failure is not None:
            messages = [["execution_start", {}], ["execution_error", self.failure]]
            return {"outputs": {}, "status": {"status_str": "error", "messages": messages}}
        ksampler = next(n["inputs"] for n in workflow.values() if n["class_type"] == "KSampler")
        size = next(n["inputs"] for n in workflow.values() if n["class_type"] == "EmptyLatentImage")
        name = f"{ksampler['seed']}_{size['width']}x{size['height']}.png"
        saved = [{"filename": name, "subfolder": "", "type": "output"}] * self.images
        preview = [{"filename": "preview.png", "subfolder": "", "type": "temp"}]
        return {
            "outputs": {"8": {"images": preview}, "9": {"images": saved}},
            "status": {"status_str": "success", "completed": True, "messages": []},
        }


class _Handler(BaseHTTPRequestHandler):
    owner: FakeComfyUI

    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        if parts.path.startswith("/history/"):
            job = parts.path.removeprefix("/history/")
            found = self.owner.history.get(job)
            self._answer(200, {job: found} if found else {})
        elif parts.path == "/queue":
            running = [[0, job, {}, {}, []] for job in self.owner.running]
            self._answer(200, {"queue_running": running, "queue_pending": []})
        else:
            query = urllib.parse.parse_qs(parts.query)
            seed, size = query["filename"][0].removesuffix(".png").split("_")
            width, height = (int(side) for side in size.split("x"))
            png = io.BytesIO()
            Image.new("RGB", (width, height), (int(seed) % 256, 128, 64)).save(png, "PNG")
            self._send(200, png.getvalue(), "image/png")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.owner.redirect_to:
            self.send_response(302)
            self.send_header("Location", self.owner.redirect_to)
            self.end_headers()
        elif self.path == "/prompt":
            self._answer(*self.owner.queue(body["prompt"]))
        elif self.path == "/queue":
            self.owner.deleted += body.get("delete", [])
            self._send(200, b"", "text/plain")
        elif self.path == "/interrupt":
            self.owner.interrupted.append(body.get("prompt_id", ""))
            self._send(200, b"", "text/plain")

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        self._send(status, json.dumps(body).encode(), "application/json")

    def _send(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
