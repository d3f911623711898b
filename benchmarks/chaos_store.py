"""An MLflow server behind a door that can be shut, for benchmarks/chaos.py."""

import os
import select
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


class Store:
    """A real server on loopback, reached through a proxy of ours."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self._port = _free_port()
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}"]
        command += ["--artifacts-destination", (home / "artifacts").as_uri()]
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (home / "server.log").open("wb") as log:
            self._server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        self._await_health()
        self._mode = "open"
        self._door = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def client(self) -> Any:
        """To look inside, past the door."""
        import mlflow

        return mlflow.MlflowClient(f"http://127.0.0.1:{self._port}")

    @contextmanager
    def away(self) -> Iterator[None]:
        """Nobody is let in."""
        yield from self._in_mode("away")

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Requests are carried out, and their answers are lost."""
        yield from self._in_mode("deaf")

    def close(self) -> None:
        self._door.close()
        os.killpg(self._server.pid, 15)
        self._server.wait(timeout=30)

    def _in_mode(self, mode: str) -> Iterator[None]:
        self._mode = mode
        try:
            yield
        finally:
            self._mode = "open"

    def _await_health(self) -> None:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health", timeout=2)
                return
            except OSError:
                time.sleep(0.5)
        raise RuntimeError("the MLflow server did not start")

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._door.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(caller,), daemon=True).start()

    def _pass_on(self, caller: socket.socket) -> None:
        # a caller that was killed resets its connection
        with suppress(ConnectionError), caller, socket.create_connection(("127.0.0.1", self._port)) as server:
            while self._mode != "away":
                for end in select.select([caller, server], [], [], 0.2)[0]:
                    content = end.recv(65536)
                    if not content or (end is server and self._mode == "deaf"):
                        return
                    (server if end is caller else caller).sendall(content)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
