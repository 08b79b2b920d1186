#!/bin/sh
# Makes all runs of docs/measurements.md about correlation, and prints their tables.
#
# benchmarks/run-correlate.sh [NAME] writes benchmarks/runs/NAME.json and NAME-alone.jsonl (NAME is
# correlate by default). It takes a quarter of an hour on a machine that does nothing else. SHORT=1
# takes a third of the time, with less certain figures.
set -eu
cd "$(dirname "$0")/.."
name=${1:-correlate}
alone=benchmarks/runs/$name-alone.jsonl
million=1000000
rounds=3
events=200000
if [ -n "${SHORT:-}" ]; then
    million=300000
    rounds=1
    events=100000
fi
cargo build --release -p weir-benchmarks --bin correlate
cargo bench -p weir-benchmarks --bench correlate --no-run

# Comparisons with other engines, the experiment on order, many rules, edits.
cargo bench -p weir-benchmarks --bench correlate -- --name "$name" --rounds "$rounds" --events "$events"

: > "$alone"
run() {
    target/release/correlate "$@" >> "$alone"
}
types="event_count temporal temporal_ordered value_count value_sum value_avg value_median value_percentile"
for round in $(seq "$rounds"); do
    for type in $types; do
        run --type "$type" --facts $million --seed "$round"
        run --type "$type" --facts $million --seed "$round" --epoch 10000
    done
done
# One key with a fifth of all facts.
for type in $types; do
    run --type "$type" --facts $million --stream hot
done
# Longer and longer windows.
for type in event_count temporal_ordered value_count value_sum value_percentile; do
    for seconds in 60 600 3600; do
        run --type "$type" --timespan "$seconds" --facts $((2 * million))
    done
done
# Windows of seven days over a fortnight of facts, with the default horizon.
for type in event_count temporal_ordered value_count; do
    run --type "$type" --timespan 604800 --over 1209600 --horizon 86400 --facts $((3 * million))
done
# One million and ten million groups, with one fact and with several.
run --stream even --keys 1000000 --facts 1100000
run --stream even --keys 10000000 --plans 3 --facts 10300000
run --stream even --keys 1000000 --facts 10300000
# Memory while the horizon advances.
run --stream fresh --horizon 60 --facts 20000000
run --stream skewed --horizon 60 --facts 20000000
python3 benchmarks/correlate-tables.py "$alone"
