"""Sends log records with splunk-handler: URL TOKEN COUNT MODE."""

import logging
import sys
from urllib.parse import urlsplit

from splunk_handler import SplunkHandler

url, token, count, mode = urlsplit(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
handler = SplunkHandler(
    host=url.hostname,
    port=url.port,
    token=token,
    index="main",
    protocol=url.scheme,
    source="shop",
    sourcetype=mode,
    hostname="web-1",
    flush_interval=0.2,
    force_keep_ahead=True,
)
log = logging.getLogger("shop")
log.addHandler(handler)
log.setLevel(logging.INFO)
for number in range(count):
    log.info('{"number": %d, "text": "größer"}', number)
handler.force_flush()
handler.close()
print(count)
