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


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Tells a mistake of schemathesis from a failure.

    Where a body may be left out, it takes leaving it out for invalid data: the case counts as negative although
    nothing of it was changed and every part that is there is valid.
    """
    if not isinstance(failure, AcceptedNegativeData) or case.meta is None:
        return True
    invalid = [place for place, part in case.meta.components.items() if part.mode.is_negative]
    is_left_out = invalid == [ParameterLocation.BODY] and isinstance(case.body, NotSet) and not case.meta.phase.data.mutations
    return not is_left_out
