#!/usr/bin/env python3
"""Compares one process with two workers and two processes with one each, under the same rules.

    python3 benchmarks/cluster.py target/release/weir > benchmarks/runs/cluster.jsonl

It measures the time from the first sent event to the last judged one, and the CPU time. Each setup runs
three times, in turn; every run is a line of JSON. It needs only the standard library.
"""
import json, os, random, re, socket, subprocess, sys, tempfile, threading, time, urllib.request

EVENTS, BODY, SENDERS, USERS = 2_000_000, 5_000, 4, 5_000
RULES = """\
title: A look
id: c
name: c
logsource: {product: shop}
detection: {selection: {kind: c}, condition: selection}
level: informational
---
title: An order
id: a
name: a
logsource: {product: shop}
detection: {selection: {kind: a}, condition: selection}
level: informational
---
title: Many looks
id: many
correlation: {type: event_count, rules: [c], group-by: [user], timespan: 60s, condition: {gte: 40}}
level: low
---
title: An order after a look
id: chain
correlation: {type: temporal_ordered, rules: [c, a], group-by: [user], timespan: 1s}
level: low
"""


def free_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


def bodies():
    """Returns for each sender its bodies of JSON lines, in order of time."""
    chance = random.Random(7)
    lines = [[] for _ in range(SENDERS)]
    for n in range(EVENTS):
        ms = n // 4
        stamp = "2026-01-01T%02d:%02d:%02d.%03dZ" % (ms // 3_600_000, ms // 60_000 % 60, ms // 1000 % 60, ms % 1000)
        kind, user = chance.choice("accddddddd"), chance.randrange(USERS)
        lines[n % SENDERS].append('{"timestamp":"%s","kind":"%s","user":"u%d","n":%d}' % (stamp, kind, user, n))
    return [["\n".join(own[at:at + BODY]).encode() for at in range(0, len(own), BODY)] for own in lines]


class Server:
    def __init__(self, binary, folder, process, processes, workers, addresses):
        text = f'[rules]\nbuiltin = false\npaths = ["{folder}/rules.yml"]\n[graph]\nworkers = {workers}\n'
        if processes > 1:
            text += f'[cluster]\nprocess = {process}\naddresses = {json.dumps(addresses)}\nsecret_file = "{folder}/secret"\n'
        text += '[listen]\nsyslog_udp = "off"\nsyslog_tcp = "off"\nagent = "off"\nhttp = "127.0.0.1:0"\n'
        for sender in range(SENDERS):
            text += f'[[source]]\nname = "s{sender}"\ntransport = "http"\nlogsource = "product=shop"\n'
        config, self.log, self.data = (f"{folder}/{process}.{suffix}" for suffix in ("toml", "log", "data"))
        with open(config, "w") as out:
            out.write(text)
        command = [binary, "--config", config, "--data-dir", self.data]
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)

    def await_ready(self):
        while not (found := re.search(r'"http":"Some\(([\d.:]+)\)"', open(self.log).read())):
            if self.child.poll() is not None:
                sys.exit(open(self.log).read())
            time.sleep(0.02)
        self.http, self.token = found[1], open(f"{self.data}/token").read().strip()

    def request(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/x-ndjson"}
        request = urllib.request.Request(f"http://{self.http}{path}", data=body, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    def metric(self, name):
        found = re.search(rf"(?m)^{name} (\S+)$", self.request("GET", "/metrics"))
        return float(found[1])

    def cpu_seconds(self):
        fields = open(f"/proc/{self.child.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(binary, load, processes, workers):
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/rules.yml", "w") as out:
            out.write(RULES)
        with open(os.open(f"{folder}/secret", os.O_CREAT | os.O_WRONLY, 0o600), "w") as out:
            out.write("0123456789abcdef" * 2)
        addresses = [f"127.0.0.1:{free_port()}" for _ in range(processes)]
        servers = [Server(binary, folder, n, processes, workers, addresses) for n in range(processes)]
        for server in servers:
            server.await_ready()
        before = sum(server.cpu_seconds() for server in servers)
        begun = time.monotonic()

        def send(sender):
            for body in load[sender]:
                servers[sender % processes].request("POST", f"/api/v1/events?source=s{sender}", body)

        threads = [threading.Thread(target=send, args=(sender,)) for sender in range(SENDERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        journaled = time.monotonic() - begun
        while sum(server.metric("weir_events_decoded_total") for server in servers) < EVENTS:
            time.sleep(0.01)
        judged = time.monotonic() - begun
        cpu = sum(server.cpu_seconds() for server in servers) - before
        alerts = len(json.loads(servers[0].request("GET", "/api/v1/alerts?limit=1000"))["alerts"])
        epochs = servers[0].metric("weir_epoch")
        for server in servers:
            server.child.terminate()
        for server in servers:
            server.child.wait()
    return {
        "processes": processes, "workers": workers, "events": EVENTS, "journaled_s": round(journaled, 3),
        "judged_s": round(judged, 3), "events_per_s": round(EVENTS / judged), "cpu_s": round(cpu, 2),
        "events_per_cpu_s": round(EVENTS / cpu), "epochs": epochs, "alerts_listed": alerts,
        "cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 1),
    }


def main():
    binary, load = os.path.abspath(sys.argv[1]), bodies()
    for _ in range(3):
        for processes, workers in [(1, 1), (1, 2), (2, 1)]:
            print(json.dumps(run(binary, load, processes, workers)), flush=True)


if __name__ == "__main__":
    main()
