"""Lets made-up requests find what is there.

An account named at random, or an id drawn from its pattern, is never one that exists, so that most calls would be
answered with "not found" before anything else is looked at. Where a request names one in the right form, half of the
time (by the text itself, so that a run is repeatable) one that exists is put in its place. What is not in the right
form stays as it is: invalid data stay invalid.
"""

import json
import os
import re
import zlib

import schemathesis
from schemathesis.core import NotSet
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import EnsureResourceAvailability, UseAfterFree

KNOWN = json.loads(os.environ["POSTRIDER_KNOWN"])
ACCOUNT = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
ID = re.compile(r"(sub|evt|dlv|key)_[0-7][0-9a-hjkmnp-tv-z]{25}\Z")
EVENT_TYPE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+){1,4}\Z")
URL = re.compile(r"[Hh][Tt][Tt][Pp][Ss]?://")


def is_chosen(text):
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) % 2 == 0


def settle_body(body):
    """The same body with an account and an event type that exist, and with a URL that the template language takes."""
    if isinstance(body, list):
        return [settle_body(item) for item in body]
    if not isinstance(body, dict):
        return body
    settled = dict(body)
    account = settled.get("account")
    if isinstance(account, str) and ACCOUNT.match(account) and is_chosen(account):
        settled["account"] = KNOWN["account"]
    event_type = settled.get("type")
    if "data" in settled and isinstance(event_type, str) and EVENT_TYPE.match(event_type) and is_chosen(event_type):
        settled["type"] = "action.tracked"
    request = settled.get("request")
    if isinstance(request, dict) and isinstance(request.get("url"), str):
        url = request["url"]
        if URL.match(url) and is_chosen(url):
            settled["request"] = {**request, "url": "https://receiver.example/?id={ActionId}"}
    if isinstance(settled.get("subscription"), dict):
        settled["subscription"] = settle_body(settled["subscription"])
    return settled


def settle_id(case, id):
    """The id of the object of this kind that exists, which is kept: what is deleted is what the run itself created."""
    form = ID.match(id)
    known = KNOWN[form[1]] if form else KNOWN["account"] if case.path == "/v1/accounts/{id}" and ACCOUNT.match(id) else None
    if known is None:
        return id
    if case.method == "DELETE":
        return id if id != known else id[:-1] + ("0" if id[-1] != "0" else "1")
    return known if is_chosen(id) else id


@schemathesis.hook
def before_call(context, case, kwargs):
    # In sequences of calls ids come from the answers before.
    in_sequence = case.meta is not None and case.meta.phase.name.value == "stateful"
    id = (case.path_parameters or {}).get("id")
    if isinstance(id, str) and (case.method == "DELETE" or not in_sequence):
        case.path_parameters["id"] = settle_id(case, id)
    if case.path != "/v1/accounts" and case.body is not None:
        case.body = settle_body(case.body)


# What was deleted, and what else each object that was created belongs to: it goes with that.
GONE = set()
BELONGS_TO = {}


@schemathesis.hook
def after_call(context, case, response):
    if not 200 <= response.status_code < 300:
        return
    if case.method == "DELETE":
        GONE.add((case.path_parameters or {}).get("id"))
    elif case.method == "POST":
        try:
            created = response.json()
        except ValueError:
            return
        if isinstance(created, dict) and isinstance(created.get("id"), str):
            said = [part for part in (case.body, created) if isinstance(part, dict)]
            owners = [part.get(name) for part in said for name in ("account", "offer", "subscription")]
            BELONGS_TO[created["id"]] = {owner for owner in owners if isinstance(owner, str)}


def is_gone_with_another(id):
    owners = BELONGS_TO.get(id, set())
    return not owners.isdisjoint(GONE) or any(owner != id and is_gone_with_another(owner) for owner in owners)


def is_being_deleted(case, response):
    """An account goes step by step: its DELETE is answered with 202, and until all of it is gone it can be read."""
    return case.path == "/v1/accounts/{id}" and response.status_code == 200 and "deleting_since" in response.json()


def is_left_out(case):
    """Where a body may be left out, schemathesis takes leaving it out for invalid data: the case counts as negative
    although nothing of it was changed and every part that is there is valid."""
    if case.meta is None:
        return False
    invalid = [place for place, part in case.meta.components.items() if part.mode.is_negative]
    return invalid == [ParameterLocation.BODY] and isinstance(case.body, NotSet) and not case.meta.phase.data.mutations


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Tells what schemathesis cannot know from a failure."""
    if isinstance(failure, AcceptedNegativeData):
        return not is_left_out(case)
    if isinstance(failure, UseAfterFree):
        return not is_being_deleted(case, response)
    if isinstance(failure, EnsureResourceAvailability):
        return not is_gone_with_another((case.path_parameters or {}).get("id"))
    return True
