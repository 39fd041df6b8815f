#!/usr/bin/env bash
# A tour with curl: from an empty server to delivered, replayed and reconciled.
#
#   examples/tour.sh [PROGRAM]      PROGRAM: the postrider binary, default target/release/postrider
#
# It starts a server and a receiver of its own on free ports, in a temporary folder, and stops them at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
. examples/tour_setup.sh

receiver() { # port or 0
  "$program" listen --listen "127.0.0.1:$1" >"$folder/received" 2>"$folder/receiver.log" &
  receiver_pid=$!
  pids+=("$receiver_pid")
}

say "a receiver, and a server that may send to this machine"
receiver 0
receiver_port=$(port_in "$folder/receiver.log" "")
"$program" serve --data "$folder/data" --listen 127.0.0.1:0 --allow-private 2>"$folder/server.log" &
pids+=($!)
base=http://127.0.0.1:$(port_in "$folder/server.log" "serves http://")
key=$(cat "$folder/data/operator.key")

api() { # method, path, body
  curl --silent --show-error --fail-with-body --request "$1" --header "Authorization: Bearer $key" \
    --header 'Content-Type: application/json' ${3:+--data "$3"} "$base$2"
  echo
}
# A field of the JSON on standard input, as a Python expression of it.
pick() { python3 -c 'import json, sys; value = eval(sys.argv[1], {"it": json.load(sys.stdin), "len": len}); print(value)' "$1"; }

wait_until() { # expected, path, expression
  for _ in $(seq 300); do
    got=$(api GET "$2" | pick "$3")
    [ "$got" = "$1" ] && return
    sleep 0.2
  done
  echo "$2: expected $1 and got $got" >&2
  return 1
}

say "an account, a key of its own, and a subscription"
api POST /v1/accounts '{"id": "acme", "name": "Acme"}'
key=$(api POST /v1/keys '{"name": "tour", "scope": "account", "account": "acme"}' | pick 'it["key"]')
subscription=$(api POST /v1/subscriptions '{
  "account": "acme", "name": "Tracker", "event_types": ["action.*"],
  "request": {"url": "http://127.0.0.1:'"$receiver_port"'/postback?cid={SubId1}&txid={ActionId}&payout={Payout}&status={Status}"},
  "success_response": "status:2xx",
  "retry": {"attempts": 1}
}' | pick 'it["id"]')
echo "$subscription"

say "an event; the same again is a duplicate"
event='{"account": "acme", "type": "action.tracked", "key": "order-1001/1",
  "data": {"ActionId": "1000.4636.158133", "SubId1": "w8TnE3kQ", "Payout": 5.00, "Status": "PENDING"}}'
api POST /v1/events "$event"
[ "$(api POST /v1/events "$event" | pick 'it["duplicate"]')" = True ]
wait_until 1 "/v1/deliveries?subscription=$subscription&state=delivered" 'len(it["data"])'
grep --quiet 'txid=1000.4636.158133&payout=5.00&status=PENDING' "$folder/received"
echo "delivered, and 5.00 stayed 5.00"

say "the receiver goes away; a reversal is given up after its only attempt"
kill "$receiver_pid" && wait "$receiver_pid" 2>/dev/null || true
api POST /v1/events '{"account": "acme", "type": "action.reversed", "key": "order-1001/2",
  "data": {"ActionId": "1000.4636.158133", "SubId1": "w8TnE3kQ", "Payout": 0.00, "Status": "REVERSED"}}'
wait_until 1 "/v1/deliveries?subscription=$subscription&state=dead" 'len(it["data"])'

say "it is back: count what was missed, then replay it"
receiver "$receiver_port"
port_in "$folder/receiver.log" "" >/dev/null
api POST /v1/replays '{"subscription": "'"$subscription"'", "dry_run": true}'
replay=$(api POST /v1/replays '{"subscription": "'"$subscription"'", "per_second": 5}' | pick 'it["id"]')
wait_until done "/v1/replays/$replay" 'it["state"]'
wait_until 2 "/v1/deliveries?subscription=$subscription&state=delivered" 'len(it["data"])'
grep --quiet 'payout=0.00&status=REVERSED' "$folder/received"

say "reconciled: what was reported is what was delivered, and nothing was given up"
events=$(api GET "/v1/events?account=acme&data.ActionId=1000.4636.158133" | pick 'len(it["data"])')
delivered=$(api GET "/v1/deliveries?account=acme&state=delivered" | pick 'len(it["data"])')
dead=$(api GET "/v1/deliveries?account=acme&state=dead" | pick 'len(it["data"])')
echo "$events events, $delivered delivered, $dead dead"
[ "$events $delivered $dead" = "2 2 0" ]
