#!/usr/bin/env bash
# From an offer to an approved lead with curl: an advertiser, a partner, a click, two reports, two postbacks.
#
#   examples/inbound.sh [PROGRAM]      PROGRAM: the postrider binary, default target/release/postrider
#
# It starts a server and a receiver of its own on free ports, in a temporary folder, and stops them at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
. examples/tour_setup.sh

# The text of a field in a JSON object.
field() { sed -n "s|.*\"$1\":\"\([^\"]*\)\".*|\1|p" | head -n 1; }

say "the partner's tracker, and a server that may send to this machine"
"$program" listen --listen 127.0.0.1:0 >"$folder/received" 2>"$folder/receiver.log" &
pids+=("$!")
tracker=http://127.0.0.1:$(port_in "$folder/receiver.log" "")
"$program" serve --data "$folder/data" --listen 127.0.0.1:0 --allow-private 2>"$folder/log" &
pids+=("$!")
api=http://127.0.0.1:$(port_in "$folder/log" "ready.*address=")
key=$(cat "$folder/data/operator.key")
call() { curl -sS --fail-with-body -H "Authorization: Bearer $key" -H 'Content-Type: application/json' "$@"; echo; }

say "an advertiser and a partner"
call "$api/v1/accounts" -d '{"id": "shop", "name": "Shop", "kind": "brand"}'
call "$api/v1/accounts" -d '{"id": "acme", "name": "Acme", "kind": "partner"}'

say "an offer: 30 dollars for a lead, of which the partner gets 80 percent"
call "$api/v1/offers" -d '{"id": "summer", "account": "shop", "name": "Summer shop", "currency": "USD",
  "landing_url": "https://shop.example/p", "actions": [{"name": "lead", "rate": "30.00", "partner_percent": "80"}]}'

say "the key under which the shop reports"
inbound=$(call "$api/v1/inbound-keys" -d '{"account": "shop", "name": "shop server"}' | field key)
[ -n "$inbound" ]

say "the partner's postback"
call "$api/v1/subscriptions" -d '{"account": "acme", "name": "tracker", "event_types": ["action.*"], "order": "action",
  "request": {"url": "'"$tracker"'/postback?cid={SubId1}&status={Status}&payout={Payout}&txid={ActionId}"}}'

say "a visitor follows the partner's link, and lands on the shop's page with a click id"
landing=$(curl -sS -o "$folder/body" -w '%{redirect_url}' "$api/acme/c/summer?sub_id1=w8TnE3kQ5u2Lx0")
echo "$landing"
click=${landing##*click_id=}
[ "$landing" = "https://shop.example/p?click_id=$click" ]

say "the shop's server reports the lead, first on hold, then approved"
curl -sS --fail-with-body "$api/$inbound/s2s?click_id=$click&request_id=12345&action=lead&status=hold"; echo
curl -sS --fail-with-body "$api/$inbound/s2s" -H 'Content-Type: application/json' \
  -d '{"click_id": "'"$click"'", "request_id": "12345", "action": "lead", "status": "approved"}'; echo

say "the tracker has both postbacks"
for _ in $(seq 200); do
  [ "$(grep -c 'cid=w8TnE3kQ5u2Lx0' "$folder/received" || true)" -ge 2 ] && break
  sleep 0.1
done
grep 'cid=w8TnE3kQ5u2Lx0' "$folder/received"
grep -q 'status=PENDING&payout=24.00' "$folder/received"
grep -q 'status=APPROVED&payout=24.00' "$folder/received"

say "the incoming log"
call "$api/v1/inbound-calls?account=shop&limit=2"

echo "the way of a conversion: offer, click, two reports, two postbacks"
