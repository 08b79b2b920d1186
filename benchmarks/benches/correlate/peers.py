"""Counts logins by user in windows of bytewax or pathway, over a file; prints one line of JSON.

    peers.py bytewax|pathway FILE --least N --seconds S --hop S [--wait S] [--commit N]

Windows are as long as Weir's, include both ends in whole seconds, and start every --hop seconds.
Neither engine has a window that trails each event, except for pathway's intervals_over, which needed
nine gigabytes for twelve thousand events. The measurement starts with the first line and ends with
the last result; imports and graph construction are left out.
"""

import argparse
import json
import os
import resource
import time
from datetime import datetime, timedelta, timezone

ALIGN = datetime(2026, 1, 1, tzinfo=timezone.utc)


def cpu():
    """CPU seconds of this process, all of its threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def run_bytewax(options):
    import bytewax.operators as op
    from bytewax.connectors.files import FileSource
    from bytewax.dataflow import Dataflow
    from bytewax.operators import windowing
    from bytewax.testing import TestingSink, run_main

    def at(event):
        return datetime.fromisoformat(event["timestamp"])

    found = []
    flow = Dataflow("counts")
    lines = op.input("lines", flow, FileSource(options.file, batch_size=1000))
    events = op.map("events", lines, json.loads)
    clock = windowing.EventClock(at, timedelta(seconds=options.wait))
    windows = windowing.SlidingWindower(
        length=timedelta(seconds=options.seconds + 1),
        offset=timedelta(seconds=options.hop),
        align_to=ALIGN,
    )
    counted = windowing.count_window(
        "count", events, clock, windows, key=lambda event: event["user"]
    )
    high = op.filter("high", counted.down, lambda item: item[1][1] >= options.least)
    op.output("out", op.map("user", high, lambda item: item[0]), TestingSink(found))
    began = time.perf_counter(), cpu()
    run_main(flow)
    return began, set(found)


def run_pathway(options):
    os.environ.setdefault("PATHWAY_THREADS", "1")
    import pathway as pw

    class Login(pw.Schema):
        timestamp: str
        user: str

    if options.commit:

        class Lines(pw.io.python.ConnectorSubject):
            def run(self):
                with open(options.file) as lines:
                    for place, line in enumerate(lines):
                        event = json.loads(line)
                        self.next(timestamp=event["timestamp"], user=event["user"])
                        if (place + 1) % options.commit == 0:
                            self.commit()

        events = pw.io.python.read(Lines(), schema=Login, autocommit_duration_ms=None)
    else:
        events = pw.io.jsonlines.read(options.file, schema=Login, mode="static")
    events = events.select(
        pw.this.user, at=pw.this.timestamp.dt.strptime("%Y-%m-%dT%H:%M:%SZ")
    )
    windows = pw.temporal.sliding(
        hop=timedelta(seconds=options.hop),
        duration=timedelta(seconds=options.seconds + 1),
        origin=ALIGN.replace(tzinfo=None),
    )
    behavior = None
    if options.wait is not None:
        behavior = pw.temporal.common_behavior(
            cutoff=timedelta(seconds=options.wait), keep_results=True
        )
    counted = events.windowby(
        events.at, window=windows, instance=events.user, behavior=behavior
    ).reduce(user=pw.this._pw_instance, count=pw.reducers.count())
    high = counted.filter(pw.this.count >= options.least)
    standing = {}

    def on_change(key, row, time, is_addition):
        standing[key] = (standing.get(key, (0,))[0] + (1 if is_addition else -1), row["user"])

    pw.io.subscribe(high, on_change=on_change)
    began = time.perf_counter(), cpu()
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    return began, {user for count, user in standing.values() if count > 0}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("engine", choices=["bytewax", "pathway"])
    parser.add_argument("file")
    parser.add_argument("--least", type=int, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--hop", type=int, required=True)
    parser.add_argument("--wait", type=int)
    parser.add_argument("--commit", type=int)
    options = parser.parse_args()
    if options.engine == "bytewax":
        options.wait = options.wait or 0
        (wall, used), users = run_bytewax(options)
    else:
        (wall, used), users = run_pathway(options)
    print(
        json.dumps(
            {
                "cpu_s": cpu() - used,
                "wall_s": time.perf_counter() - wall,
                "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                "users": sorted(users),
            }
        )
    )


if __name__ == "__main__":
    main()
