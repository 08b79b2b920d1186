"""Sends documents with the bulk helper of Elasticsearch's own client: URL TOKEN COUNT MODE."""

import sys

from elasticsearch import Elasticsearch, helpers

url, token, count, mode = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
if mode == "basic":
    client = Elasticsearch(url, basic_auth=("weir", token))
else:
    client = Elasticsearch(url, api_key=("weir", token), http_compress=True)
assert client.ping() and client.info()["version"]["number"]


def documents():
    for number in range(count):
        yield {
            "_op_type": "create",
            "_index": "shop-2026.11.22",
            "_id": f"{mode}-{number}",
            "@timestamp": "2026-11-22T06:00:00.000Z",
            "number": number,
            "message": f"Bestellung {number}: \"größer\"\n",
        }


sent, errors = helpers.bulk(client, documents(), chunk_size=500)
assert not errors, errors
print(sent)
