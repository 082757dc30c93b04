# SPDX-License-Identifier: BSD-3-Clause
"""The schema of the control socket (share/netns-helper/control.schema.json), taken by its word: members that it does not name are
failures here, though clients must ignore them."""

import json
from pathlib import Path

from tests.support.helper import Control
from tests.support.skip import skip

FILE = Path(__file__).resolve().parents[2] / "share/netns-helper/control.schema.json"


def _strict(part):
    if isinstance(part, dict):
        part = {name: _strict(inner) for name, inner in part.items()}
        if part.get("type") == "object" and "properties" in part:
            part.setdefault("additionalProperties", False)
        return part
    return [_strict(inner) for inner in part] if isinstance(part, list) else part


class Schema:
    def __init__(self):
        try:
            from jsonschema import Draft202012Validator
        except ImportError:
            skip("jsonschema is not installed (package python3-jsonschema)")
        self.schema = json.loads(FILE.read_text())
        Draft202012Validator.check_schema(self.schema)
        self._validator = Draft202012Validator
        self._definitions = _strict(self.schema["$defs"])

    def commands(self):
        return {one["properties"]["execute"]["const"] for one in self.schema["$defs"]["request"]["oneOf"]}

    def events(self):
        return {one["properties"]["event"]["const"] for one in self.schema["$defs"]["event"]["oneOf"]}

    def faults(self, value, name):
        """What is wrong with it as a request, a reply.COMMAND or an event; empty: nothing."""
        validator = self._validator({"$ref": f"#/$defs/{name}", "$defs": self._definitions})
        return [f"{name}: {error.message}: {[each.message for each in error.context or ()]}" for error in validator.iter_errors(value)]


class CheckedControl(Control):
    """Each request, reply and event of the session must be as the schema says. A request that is meant to be refused may be anything."""

    def __init__(self, path, schema, **arguments):
        super().__init__(path, **arguments)
        self.schema, self.asked, self.events = schema, set(), []

    def _must_be(self, value, name):
        faults = self.schema.faults(value, name)
        if faults:
            raise AssertionError(f"{value} is not as the schema says:\n" + "\n".join(faults))

    def ask(self, request):
        """The reply; events that come before it are kept."""
        self.send(json.dumps(request).encode() + b"\n")
        reply = self.read_reply()
        while reply is not None and "event" in reply:
            self._keep(reply)
            reply = self.read_reply()
        name = request.get("execute")
        if name in self.schema.commands():
            self._must_be(reply, f"reply.{name}")
            if "return" in reply:
                self._must_be(request, "request")
                self.asked.add(name)
        else:
            self._must_be(reply, "refusal")
        return reply

    def _keep(self, event):
        self._must_be(event, "event")
        self.events.append(event)

    def wait_event(self, name):
        """The first event of that name that was not waited for yet; those before it are gone."""
        while True:
            if not self.events:
                self._keep(self.read_reply())
            event = self.events.pop(0)
            if event["event"] == name:
                return event
