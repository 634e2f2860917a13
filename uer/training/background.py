"""Work that goes on beside the training."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """One piece of work at a time, in a thread of its own.

    What goes wrong there is kept until somebody asks.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def busy(self) -> bool:
        """A piece of work is going on."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def failed(self) -> bool:
        """The last piece went wrong, and nobody has asked yet."""
        return self._error is not None

    def start(self, work: Callable[[], object]) -> None:
        """Begin; the piece before has been waited for."""
        assert self._thread is None, "the piece of work before is not done"
        self._thread = threading.Thread(target=self._do, args=(work,), daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait for the end, and raise what went wrong."""
        self.join()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def join(self) -> None:
        """Wait for the end."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _do(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # raised again by `wait`
            self._error = error
