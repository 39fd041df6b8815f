# What the tours in shell share: the program, a temporary folder, and the end of all that was started.
# Sourced, from the project's folder, with the arguments of the tour.

program=${1:-target/release/postrider}
[ -x "$program" ] || { echo "there is no program at $program; build it with \`cargo build --release\`, or name another" >&2; exit 2; }

folder=$(mktemp -d)
pids=()
stop() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$folder"
}
trap stop EXIT

say() { printf '\n# %s\n' "$1"; }

# The port that a program reports on its standard error.
port_in() { # file, words before the address
  for _ in $(seq 200); do
    found=$(sed -n "s|.*$2[^0-9]*127\.0\.0\.1:\([0-9]*\).*|\1|p" "$1" | head -n 1)
    [ -n "$found" ] && { echo "$found"; return; }
    sleep 0.1
  done
  cat "$1" >&2
  return 1
}
