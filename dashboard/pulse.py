"""Tells browsers that something has changed.

One look at the database serves all of them, and only while one watches.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import cache

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import StreamingResponse

from dashboard.link import Away, shared_link

EVERY_S = 0.5
_KEEP_ALIVE_S = 15.0


class Pulse:
    """Looks at the revision while somebody listens and hands each change to every listener."""

    def __init__(self, revision: Callable[[], int], every: float = EVERY_S) -> None:
        """``revision`` may block and may raise Away; it is called in a thread."""
        self._revision = revision
        self._every = every
        self._listeners: set[asyncio.Queue[str | None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._last = ""
        self.looks = 0  # how often the database was asked

    async def listen(self) -> AsyncIterator[str]:
        """Yield the state now, then every change; an empty text keeps the line open."""
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._listeners.add(queue)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        elif self._last:
            queue.put_nowait(self._last)
        try:
            while True:
                try:
                    state = await asyncio.wait_for(queue.get(), _KEEP_ALIVE_S)
                except TimeoutError:
                    state = ""
                if state is None:
                    return
                yield state
        finally:
            self._listeners.discard(queue)

    async def _look(self) -> None:
        self._last = ""
        while self._listeners:
            state = await run_in_threadpool(self._state)
            self.looks += 1
            if state != self._last:
                self._last = state
                for queue in self._listeners:
                    queue.put_nowait(state)
            await asyncio.sleep(self._every)

    def _state(self) -> str:
        try:
            return str(self._revision())
        except Away:
            return "away"

    def close(self) -> None:
        """Stop looking and end every stream: a server waits for its open answers before it ends."""
        for queue in self._listeners:
            queue.put_nowait(None)
        if self._task is not None:
            self._task.cancel()


@cache
def shared_pulse() -> Pulse:
    """Return the pulse of this process."""
    return Pulse(lambda: shared_link().revision())


async def events(request: Request) -> StreamingResponse:
    """Answer /events: a stream of revisions."""

    async def lines() -> AsyncIterator[str]:
        yield "retry: 1000\n\n"
        async for state in shared_pulse().listen():
            yield f"data: {state}\n\n" if state else ": still here\n\n"
            if await request.is_disconnected():
                return

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(lines(), media_type="text/event-stream", headers=headers)
