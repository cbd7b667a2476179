"""A stock server of MLflow, over SQLite and a folder, that runs as long as a `with` block."""

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PATIENCE_SECONDS = 180

IN_MEMORY = "/dev/shm"
# Some times what a comparison leaves there.
ROOM = 512 << 20

# Ends a group of processes as soon as nobody has the other end of its standard input.
WATCH = """
import contextlib, os, signal, sys
sys.stdin.read()
with contextlib.suppress(ProcessLookupError):
    os.killpg(int(sys.argv[1]), signal.SIGKILL)
"""


@contextlib.contextmanager
def stock_server():
    """Starts a server on a free port of this machine. Yields its address, `127.0.0.1:PORT`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(dir=place()) as folder:
        store = f"sqlite:///{folder}/tracking.db"
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--workers", "1", "--backend-store-uri", store, "--registry-store-uri", store]
        command += ["--serve-artifacts", "--artifacts-destination", f"{folder}/artifacts"]
        log = open(Path(folder) / "log", "wb")
        # Its workers are processes of its own group, which ends as a whole.
        server = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=folder,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )
        # It ends with this process too, in whatever way that ends.
        watch = subprocess.Popen(
            [sys.executable, "-S", "-c", WATCH, str(server.pid)], stdin=subprocess.PIPE, start_new_session=True
        )
        try:
            wait_for(port, server, Path(folder) / "log")
            yield f"127.0.0.1:{port}"
        finally:
            watch.communicate()
            server.wait()
            log.close()


def place():
    """Returns a folder in memory, if there is one with room: the server waits for the disk at each
    request, and nothing of it has to last."""
    try:
        return IN_MEMORY if os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free > ROOM else None
    except OSError:
        return None


def wait_for(port, server, log):
    """Waits until a server answers."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the stock server does not answer: {log.read_text()[-2000:]}")
