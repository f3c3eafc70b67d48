"""What the checks that run whole systems share: lines of findings, and processes that end with the check."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parent.parent.parent
WRONG = []


def die(text):
    """Something is missing, so nothing can be said about the project."""
    print(f"MISSING  {text}", file=sys.stderr)
    sys.exit(2)


def check(what, seen, wanted):
    """One line per check. `wanted` is a value, or a function that says whether what was seen is right."""
    right = wanted(seen) if callable(wanted) else seen == wanted
    if right:
        print(f"ok     {what}", flush=True)
        return
    WRONG.append(what)
    expected = "" if callable(wanted) else f"\n       wanted {wanted!r}"
    print(f"WRONG  {what}\n       saw    {seen!r}{expected}", flush=True)


def verdict(name):
    print(f"{name}: {len(WRONG)} wrong" if WRONG else f"{name}: all as it should be")
    return 1 if WRONG else 0


def run(*command, **options):
    """Runs a command to its end and gives what it wrote to standard output. Its failure ends the check."""
    options = {"cwd": ROOT, "text": True, "stdout": subprocess.PIPE, "check": True} | options
    try:
        return subprocess.run([str(part) for part in command], **options).stdout
    except subprocess.CalledProcessError as failed:
        sys.exit(f"{command[0]} failed ({failed.returncode}): {' '.join(map(str, command))}\n{failed.stderr or ''}")


def free_port(address="127.0.0.1"):
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def wait_for_port(address, port, process, log, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with socket.create_connection((address, port), timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"nothing answers on {address}:{port}; its log ends with:\n{tail(log)}")


def tail(log, lines=30):
    return "\n".join(pathlib.Path(log).read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


class Processes:
    """Processes in groups of their own, which end with the `with` block, however that ends."""

    def __init__(self):
        self.running = []

    def __enter__(self):
        # A check that is told to end does so through its `finally` blocks.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        # A shell's background job ignores Ctrl-C, and hands that on to all that it starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return self

    def start(self, *command, log, **options):
        with open(log, "w", encoding="utf-8") as out:
            process = subprocess.Popen(
                [str(part) for part in command],
                **{"cwd": ROOT, "stdin": subprocess.DEVNULL, "stdout": out, "stderr": out} | options,
                start_new_session=True,
            )
        self.running.append(process)
        return process

    def stop(self, process):
        """Ctrl-C first: sam removes its containers then."""
        for sign, seconds in ((signal.SIGINT, 20), (signal.SIGKILL, 5)):
            if process.poll() is None:
                try:
                    os.killpg(process.pid, sign)
                    process.wait(seconds)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    pass
        if process in self.running:
            self.running.remove(process)

    def __exit__(self, *_):
        for process in reversed(self.running[:]):
            self.stop(process)
