"""Asks a stock server of MLflow and ours the same, and compares their answers.

    side_by_side.py URL [--stock ADDRESS] [--subject NAME]...

URL is that of our server, over a new home. A stock server is started, unless one is named. Both get
the requests of `cases`, and those that the client sends in `session.py`. Differences that are not
in differences.toml are told, and those in it that are none any more; then the exit code is 1. The
last line of the output is JSON: how often each operation was asked, and how often it differed.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import differences
from cases import SUBJECTS
from cases.ask import Ask
from pair import Pair
from proxy import proxy
from stock import stock_server

SESSION = Path(__file__).with_name("session.py")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--stock", help="the address of a stock server over nothing, HOST:PORT")
    parser.add_argument("--subject", action="append", help="a file of cases, or `session`; all by default")
    arguments = parser.parse_args()
    ours = arguments.url.rstrip("/").removeprefix("http://")
    if arguments.stock:
        return compare(Pair(arguments.stock, ours), arguments.subject)
    with stock_server() as stock:
        return compare(Pair(stock, ours), arguments.subject)


def compare(pair, subjects):
    is_wanted = lambda name: not subjects or name in subjects
    for ask_all in SUBJECTS:
        name = ask_all.__module__.rsplit(".", 1)[-1]
        if is_wanted(name):
            timed(name, lambda: ask_all(Ask(pair)))
    problems = []
    if is_wanted("session"):
        with proxy(pair) as url:
            command = [sys.executable, str(SESSION), url, "--skip", "ours"]
            session = timed("session", lambda: subprocess.run(command, capture_output=True, text=True))
        if session.returncode != 0:
            problems.append(f"the client's session fails against the stock server:\n{session.stdout}")
    known = differences.read()
    problems += differences.judge(pair.differences, known, is_complete=not subjects)
    for problem in problems:
        print(problem)
    # Words are for people; differences.toml says so.
    differing = {case for case, place, *_ in pair.differences if place != "message"}
    operations = {
        operation: {
            "asked": pair.asked[operation],
            "differ": sum(case.startswith(f"{operation}: ") for case in differing),
            "by_client": operation in pair.of_client,
        }
        for operation in sorted(pair.asked.keys() | pair.of_client)
    }
    print(json.dumps({"operations": operations}))
    return 1 if problems else 0


def timed(name, work):
    started = time.monotonic()
    result = work()
    print(f"{name}: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
