"""The differences that are allowed: differences.toml, and what was found."""

import fnmatch
import tomllib
from pathlib import Path


def read():
    """Returns the entries: each has `why`, and the patterns `cases` and `at`."""
    return tomllib.loads(Path(__file__).with_name("differences.toml").read_text())["difference"]


def judge(found, known, is_complete):
    """Returns a sentence for each difference that is not known.

    If all was asked, also for each pattern that fits no difference any more.
    """
    problems, used = [], set()
    for case, place, theirs, ours in found:
        fitting = [
            (number, pattern)
            for number, entry in enumerate(known)
            for pattern in entry["cases"]
            if fits(case, pattern) and any(fits(place, at) for at in entry["at"])
        ]
        used.update(fitting)
        if not fitting:
            problems.append(f"DIFFERS  {case}\n  at {place}\n  stock: {theirs}\n  ours:  {ours}")
    for number, entry in enumerate(known):
        for pattern in entry["cases"]:
            if is_complete and (number, pattern) not in used:
                problems.append(
                    f"NO LONGER DIFFERS  {pattern}, at {', '.join(entry['at'])}: strike it from differences.toml"
                )
    return problems


def fits(text, pattern):
    # Brackets are no pattern here: they stand in names of cases.
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))
