"""Two servers that get the same requests, and the comparison of their answers.

A request is written with what the stock server answered before. Where the other server chose
another identifier, name or page token for the same thing, its own stands in the request that it
gets, and its answer is compared with that in mind.
"""

import http.client
import itertools
import json
import re
import threading
import time
import urllib.parse
from collections import Counter

IDENTIFIER = re.compile(r"(m-)?[0-9a-f]{32}")
# In the text of a URL, an encoded quotation mark may be before it.
# Experiments have numbers, which are told from others by their places.
EXPERIMENT = re.compile(r"(mlflow-artifacts:/|(?<=/)artifacts/|[?&]path=|experiment_ids?=)(\d+)(?=/|%2F|&|$)")
WITHIN_TEXT = re.compile(r"((?:%[0-9A-Fa-f]{2})*)((?:m-)?[0-9a-f]{32})")
GENERATED_NAME = re.compile(r"^[a-z]+-[a-z]+-\d+$")
PREFIX = re.compile(r"^/(ajax-)?api/\d\.\d/")
TIMES = re.compile(r"(^|_)(time|timestamp)(_ms)?$")
# A server that needs longer has failed.
PATIENCE_SECONDS = 60
# Two answers to the same request are no further apart.
SAME_TIME_MS = 600_000
HEADERS = ["content-type", "content-disposition", "x-content-type-options"]


class Answer:
    """The answer of a server."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        try:
            self.json = json.loads(body)
        except ValueError:
            self.json = None

    def __getitem__(self, name):
        return (self.json or {})[name]


class Server:
    """A server that is asked by one client."""

    def __init__(self, address):
        self.address, self.connection = address, None

    def ask(self, method, path, headers, body):
        for attempt in range(2):
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPConnection(self.address, timeout=PATIENCE_SECONDS)
                self.connection.request(method, path, body=body, headers=headers)
                answer = self.connection.getresponse()
                answer = Answer(answer.status, answer.headers, answer.read())
                if answer.headers.get("connection", "").lower() == "close":
                    self.close()
                return answer
            except (http.client.HTTPException, OSError):
                # The server closed a connection that was idle.
                self.close()
                if attempt == 1:
                    raise

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


class Pair:
    """The stock server and ours."""

    def __init__(self, stock, ours):
        self.stock, self.ours = Server(stock), Server(ours)
        # From what the stock server chose to what ours chose.
        self.names = {}
        self.known = set()
        self.experiments = {}
        # The tokens of pages, by those of the stock server.
        self.tokens = {}
        # A list of (case, place, stock's, ours).
        self.differences = []
        self.asked = Counter()
        # The operations that the client asks for.
        self.of_client = set()
        self.lock = threading.Lock()

    def ask(self, case, method, path, headers=None, body=b"", of_client=False):
        """Asks both. Returns the answer of the stock server."""
        with self.lock:
            headers = headers or {}
            theirs = self.stock.ask(method, path, headers, body)
            ours = self.ours.ask(method, self.translated(path), headers, self.translated_bytes(body))
            operation = operation_of(method, path)
            case = f"{operation}: {case}"
            # How often the client asks is not the same each time.
            if of_client:
                self.of_client.add(operation)
            else:
                self.asked[operation] += 1
            found = []
            self.compare(theirs, ours, found)
            self.differences += [(case, place, one, other) for place, one, other in found]
            return theirs

    def translated(self, text):
        if text in self.names:
            return self.names[text]
        own_token = lambda found: self.tokens.get(urllib.parse.unquote(found[0]), found[0])
        text = re.sub(r"(?<=page_token=)[^&]+", own_token, text)
        text = EXPERIMENT.sub(lambda found: found[1] + self.experiments.get(found[2], found[2]), text)
        return WITHIN_TEXT.sub(lambda found: found[1] + self.names.get(found[2], found[2]), text)

    def translated_bytes(self, body):
        try:
            value = json.loads(body)
        except ValueError:
            value = None
        if isinstance(value, dict):
            changed = self.translated_members(value)
            if changed != value:
                body = json.dumps(changed).encode()
        try:
            return self.translated(body.decode()).encode()
        except UnicodeDecodeError:
            return body

    def translated_members(self, body):
        """Returns a JSON body with page tokens and numbers of experiments of our server."""
        own = lambda value, known: known.get(value, value) if isinstance(value, str) else value
        changed = dict(body)
        if "page_token" in body:
            changed["page_token"] = own(body["page_token"], self.tokens)
        if "experiment_id" in body:
            changed["experiment_id"] = own(body["experiment_id"], self.experiments)
        if isinstance(body.get("experiment_ids"), list):
            changed["experiment_ids"] = [own(value, self.experiments) for value in body["experiment_ids"]]
        return changed

    def compare(self, theirs, ours, found):
        if theirs.status != ours.status:
            found.append(("status", told(theirs), told(ours)))
            return
        for name in HEADERS:
            one, other = theirs.headers.get(name), ours.headers.get(name)
            # Our server forbids guesses of the type everywhere.
            if name == "x-content-type-options" and one is None:
                continue
            if one is not None and other is not None:
                one, other = one.replace("; charset=utf-8", ""), other.replace("; charset=utf-8", "")
            if one != other:
                found.append((name, one, other))
        if theirs.json is None and ours.json is None:
            one = self.translated_bytes(theirs.body)
            if one != ours.body:
                found.append(("body", one[:200].decode(errors="replace"), ours.body[:200].decode(errors="replace")))
        else:
            self.learn("", theirs.json, ours.json)
            self.compare_values("", theirs.json, ours.json, found)

    def learn(self, name, theirs, ours):
        """Learns what each server calls a thing, from the same place of two answers."""
        if isinstance(theirs, dict) and isinstance(ours, dict):
            for member in theirs.keys() & ours.keys():
                self.learn(member, theirs[member], ours[member])
        elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
            for one, other in zip(self.ordered(theirs), self.ordered(ours)):
                self.learn(name, one, other)
        elif name == "experiment_id" and isinstance(theirs, str) and isinstance(ours, str):
            self.experiments.setdefault(theirs, ours)
        elif name == "next_page_token" and isinstance(theirs, str) and isinstance(ours, str):
            # The same token of one server may go on with another search.
            self.tokens[theirs] = ours
        elif isinstance(theirs, str) and isinstance(ours, str) and theirs != ours:
            both = lambda pattern: pattern.fullmatch(theirs) and pattern.fullmatch(ours)
            is_name = both(IDENTIFIER) or both(GENERATED_NAME)
            is_new = theirs not in self.names and ours not in self.known
            if is_name and is_new:
                self.names[theirs] = ours
                self.known.add(ours)

    def compare_values(self, place, theirs, ours, found):
        if isinstance(theirs, dict) and isinstance(ours, dict):
            for name in sorted(theirs.keys() | ours.keys()):
                at = f"{place}.{name}" if place else name
                if name not in theirs or name not in ours:
                    shown = lambda value: json.dumps(value[name])[:200] if name in value else "nothing"
                    found.append((at, shown(theirs), shown(ours)))
                else:
                    self.compare_values(at, theirs[name], ours[name], found)
        elif isinstance(theirs, list) and isinstance(ours, list):
            theirs, ours = self.ordered(theirs), self.ordered(ours)
            if len(theirs) != len(ours):
                found.append((f"{place}[]", json.dumps(theirs)[:300], json.dumps(ours)[:300]))
            else:
                for one, other in zip(theirs, ours):
                    self.compare_values(f"{place}[]", one, other, found)
        elif not self.same(place.rsplit(".", 1)[-1], theirs, ours):
            found.append((place, json.dumps(theirs)[:300], json.dumps(ours)[:300]))

    def ordered(self, values):
        """Returns a list in an order that both servers have: entries of maps by their keys, and
        values of several runs by these. Values of one metric keep their order."""
        if not all(isinstance(value, dict) for value in values):
            return values
        if all("run_id" in value.get("info", {}) for value in values):
            # Among runs of one time, their random identifiers decide.
            time_of = lambda value: value["info"].get("start_time")
            groups = [list(group) for _, group in itertools.groupby(values, time_of)]
            identifier = lambda value: self.translated(value["info"]["run_id"])
            return [value for group in groups for value in sorted(group, key=identifier)]
        if all("model_id" in value and "key" not in value for value in values):
            return sorted(values, key=lambda value: (value.get("step", 0), self.translated(value["model_id"])))
        run = lambda value: self.translated(str(value.get("run_id", "")))
        return sorted(
            values,
            key=lambda value: (str(value.get("key", value.get("alias", ""))), run(value) if "key" in value else ""),
        )

    def same(self, name, theirs, ours):
        if name == "experiment_id":
            return self.experiments.get(theirs, theirs) == ours
        if name == "next_page_token":
            return self.tokens.get(theirs, theirs) == ours
        if theirs == ours and type(theirs) is type(ours):
            return True
        if isinstance(theirs, int) and isinstance(ours, int) and TIMES.search(name):
            now = time.time() * 1000
            return all(abs(value - now) < SAME_TIME_MS for value in (theirs, ours))
        return isinstance(theirs, str) and isinstance(ours, str) and self.translated(theirs) == ours


def told(answer):
    """Returns an answer in a few words."""
    code = answer.json.get("error_code") if isinstance(answer.json, dict) else None
    message = (answer.json.get("message") if code else answer.body[:200].decode(errors="replace")) or ""
    return f"{answer.status} {code or ''} {message[:200]}"


def operation_of(method, path):
    """Returns the operation that a request asks for: `POST runs/create`."""
    path = PREFIX.sub("", path.split("?", 1)[0]).removeprefix("mlflow/")
    path = re.sub(r"^(mlflow-artifacts/artifacts)/.*", r"\1/PATH", path)
    path = re.sub(r"^(logged-models)/(?!search$)[^/]+", r"\1/ID", path)
    path = re.sub(r"^(logged-models/ID/tags)/.*", r"\1/KEY", path)
    return f"{method} {path}"
