#!/usr/bin/env python3
"""The tour in Python: report events, see them delivered, replay what was missed, reconcile.

    python3 -m pip install requests
    POSTRIDER_URL=http://127.0.0.1:8080 POSTRIDER_KEY=… python3 examples/tour.py

The server must be allowed to send to this machine (`serve --allow-private`); the receiver is in here.
"""

import http.server
import os
import sys
import threading
import time

import requests

URL = os.environ.get("POSTRIDER_URL", "http://127.0.0.1:8080")
ACCOUNT = f"tour-{int(time.time())}"


class Receiver(http.server.BaseHTTPRequestHandler):
    """Books postbacks once by their delivery id, as every receiver should."""

    booked: dict[str, str] = {}
    broken = False

    def do_GET(self):
        if Receiver.broken:
            self.send_response(500)
            self.end_headers()
            return
        Receiver.booked.setdefault(self.headers["Idempotency-Key"], self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"OK")

    def log_message(self, *arguments):
        pass


class Api:
    """A few lines are all that a client needs."""

    def __init__(self, url: str, key: str):
        self.url = url
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {key}"

    def call(self, method: str, path: str, **arguments):
        answer = self.session.request(method, self.url + path, timeout=30, **arguments)
        if not answer.ok:
            sys.exit(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def all(self, path: str, **parameters):
        """Every item of a list, page after page."""
        while True:
            page = self.call("GET", path, params=parameters)
            yield from page["data"]
            if page["next_cursor"] is None:
                return
            parameters["cursor"] = page["next_cursor"]


def wait_until(what: str, condition):
    for _ in range(300):
        if condition():
            return
        time.sleep(0.2)
    sys.exit(f"waited for a minute and {what} is not so")


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]

    operator = Api(URL, os.environ["POSTRIDER_KEY"])
    operator.call("POST", "/v1/accounts", json={"id": ACCOUNT, "name": "Tour"})
    key = operator.call("POST", "/v1/keys", json={"name": "tour", "scope": "account", "account": ACCOUNT})
    api = Api(URL, key["key"])
    subscription = api.call(
        "POST",
        "/v1/subscriptions",
        json={
            "account": ACCOUNT,
            "name": "Tracker",
            "event_types": ["action.*"],
            "request": {"url": f"http://127.0.0.1:{port}/p?id={{ActionId}}&payout={{Payout}}&status={{Status}}"},
            "success_response": "contains:OK",
            "retry": {"attempts": 1},
        },
    )

    def event(number: int, status: str, payout: str):
        return {
            "account": ACCOUNT,
            "type": "action.tracked" if status == "PENDING" else "action.reversed",
            "key": f"order-{number}/{status}",
            "data": {"ActionId": f"1000.{number}", "Payout": payout, "Status": status},
        }

    sales = [event(number, "PENDING", f"{number}.50") for number in range(1, 21)]
    api.call("POST", "/v1/events", json=sales)
    wait_until("every sale is delivered", lambda: len(Receiver.booked) == 20)
    again = api.call("POST", "/v1/events", json=sales)
    assert all(result["duplicate"] for result in again["results"]), "a repeat makes no second event"
    print("20 sales reported and delivered")

    Receiver.broken = True
    api.call("POST", "/v1/events", json=[event(number, "REVERSED", "0.00") for number in range(1, 6)])
    dead = {"subscription": subscription["id"], "state": "dead"}
    wait_until("five reversals are given up", lambda: len(list(api.all("/v1/deliveries", **dead))) == 5)
    print("5 reversals given up: the receiver answers 500")

    Receiver.broken = False
    plan = api.call("POST", "/v1/replays", json={"subscription": subscription["id"], "dry_run": True})
    assert plan["matched"] == 5, plan
    replay = api.call("POST", "/v1/replays", json={"subscription": subscription["id"]})
    wait_until("the replay is done", lambda: api.call("GET", f"/v1/replays/{replay['id']}")["state"] == "done")
    wait_until("the reversals arrived", lambda: len(Receiver.booked) == 25)
    print("5 reversals replayed")

    delivered = {delivery["id"] for delivery in api.all("/v1/deliveries", account=ACCOUNT, state="delivered", limit=7)}
    assert delivered == set(Receiver.booked), "the receiver's book and ours are the same"
    assert not list(api.all("/v1/deliveries", **dead))
    print(f"reconciled: {len(delivered)} deliveries here, {len(Receiver.booked)} booked there, none given up")
    server.shutdown()


if __name__ == "__main__":
    main()
