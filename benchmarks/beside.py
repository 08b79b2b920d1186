"""Compares two binaries of Weir end to end, in turn: CPU per event, and the time from event to alert.

    python3 benchmarks/beside.py NEW OLD [--pairs 4] [--rate 60000] [--seconds 30] [--name NAME]

Runs `weir-end-to-end` for each binary in the order A B B A A B B A, so that a drift of the machine
hits both. Prints each pair and the ratios of the medians; exits with 1 if a ratio is above --limit.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

RUNS = pathlib.Path("benchmarks/runs")


def measure(options, binary, name):
    """One run: microseconds of CPU per event, and the 99th percentile in milliseconds."""
    subprocess.run(
        [
            options.end_to_end, "--weir", binary, "--rate", str(options.rate),
            "--seconds", str(options.seconds), "--warm-up", str(options.warm_up), "--name", name,
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    file = RUNS / f"{name}.json"
    result = json.loads(file.read_text())
    file.unlink()
    return {
        "cpu_us": result["cpu_microseconds_per_event"],
        "p50_ms": result["event_to_alert_ms"]["p50"],
        "p99_ms": result["event_to_alert_ms"]["p99"],
        "events_per_second": result["events_per_second"],
        "memory_peak_bytes": result["memory_peak_bytes"],
        "load": result["machine"]["load_average"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("new")
    parser.add_argument("old")
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--rate", type=int, default=60_000)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--warm-up", type=int, default=10)
    parser.add_argument("--limit", type=float, default=1.05)
    parser.add_argument("--end-to-end", default="target/release/weir-end-to-end")
    parser.add_argument("--name", default="beside")
    options = parser.parse_args()
    pairs = []
    for pair in range(options.pairs):
        order = ["new", "old"] if pair % 2 == 0 else ["old", "new"]
        found = {
            which: measure(options, getattr(options, which), f"{options.name}-{which}")
            for which in order
        }
        pairs.append(found)
        print(f"pair {pair + 1}: " + ", ".join(
            f"{which} {found[which]['cpu_us']:.2f} us, p99 {found[which]['p99_ms']:.1f} ms"
            for which in ("new", "old")
        ), flush=True)

    def median(which, what):
        return statistics.median(found[which][what] for found in pairs)

    ratios = {what: median("new", what) / median("old", what) for what in ("cpu_us", "p99_ms")}
    result = {
        "question": "what does this version cost at the same load, beside the version before?",
        "rate": options.rate, "seconds": options.seconds, "pairs": pairs,
        "medians": {
            which: {what: median(which, what) for what in ("cpu_us", "p50_ms", "p99_ms")}
            for which in ("new", "old")
        },
        "ratios": ratios,
    }
    (RUNS / f"{options.name}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(f"ratio of CPU per event {ratios['cpu_us']:.3f}, of p99 {ratios['p99_ms']:.3f}")
    sys.exit(any(ratio > options.limit for ratio in ratios.values()))


if __name__ == "__main__":
    main()
