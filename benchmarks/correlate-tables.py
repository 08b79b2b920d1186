"""Prints the runs of `correlate` as the tables of docs/measurements.md: correlate-tables.py FILE"""

import json
import sys
from statistics import median


def short(rate):
    return f"{rate / 1e6:.2f}"


def span(runs):
    rates = sorted(run["facts_per_cpu_s"] for run in runs)
    middle = f"**{short(median(rates))}**"
    return middle if len(rates) == 1 else f"{middle} ({short(rates[0])} to {short(rates[-1])})"


def main():
    with open(sys.argv[1]) as lines:
        runs = [json.loads(line) for line in lines]
    types = list(dict.fromkeys(run["type"] for run in runs))

    def matching(**wanted):
        return [run for run in runs if all(run[key] == value for key, value in wanted.items())]

    print("\nMillions of facts per CPU second, skewed keys, 1 % late, windows of 300 s:\n")
    print("| type | epochs of 1,000 | epochs of 10,000 | p99 of an epoch of 1,000 | one key with a fifth |")
    print("|---|---|---|---|---|")
    for name in types:
        plain = {"type": name, "timespan_s": 300, "stream": "skewed", "horizon_s": None}
        small, large = matching(epoch=1000, **plain), matching(epoch=10000, **plain)
        hot = matching(type=name, stream="hot")
        if not (small and large and hot):
            continue
        late = median(run["epoch_ms_p99"] for run in small)
        print(f"| {name} | {span(small)} | {span(large)} | {late:.1f} ms | {span(hot)} |")

    print("\nMillions of facts per CPU second by length of the window:\n")
    print("| type | 60 s | 600 s | 3,600 s | 7 days |")
    print("|---|---|---|---|---|")
    for name in types:
        cells = []
        for seconds in (60, 600, 3600, 604800):
            found = matching(type=name, timespan_s=seconds)
            cells.append(span(found) if found else "")
        if any(cells):
            print(f"| {name} | {' | '.join(cells)} |")

    print("\n| groups | facts | bytes a group | bytes a fact | resident bytes a fact | facts per CPU s |")
    print("|---|---|---|---|---|---|")
    for run in matching(stream="even"):
        state, facts = run["state"], run["state"]["facts"]
        resident = (state["rss_kib"] - run["rss_kib_before"]) * 1024
        print(
            f"| {state['groups']:,} | {facts:,} | {state['bytes'] / state['groups']:.0f} "
            f"| {state['bytes'] / facts:.0f} | {resident / facts:.0f} | {span([run])} M |"
        )

    for run in runs:
        if run["facts"] < 20_000_000:
            continue
        print(f"\nResident MB by million facts, {run['stream']} keys, horizon {run['horizon_s']} s:\n")
        most = max(run["rss_kib_by_million"])
        for place, size in enumerate(run["rss_kib_by_million"]):
            print(f"{place + 1:4} {size / 1024:6.0f} {'#' * round(60 * size / most)}")


if __name__ == "__main__":
    main()
