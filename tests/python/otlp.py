"""Sends log records with OpenTelemetry's SDK over OTLP/HTTP: URL TOKEN COUNT MODE."""

import sys
import time

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

url, token, count, mode = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
exporter = OTLPLogExporter(
    endpoint=f"{url}/v1/logs",
    headers={"authorization": f"Bearer {token}"},
    compression=Compression.Gzip if mode == "gzip" else Compression.NoCompression,
)
resource = Resource.create({"service.name": f"shop-{mode}", "host.name": "web-1"})
provider = LoggerProvider(resource=resource)
provider.add_log_record_processor(
    BatchLogRecordProcessor(exporter, max_queue_size=count, max_export_batch_size=500)
)
logger = provider.get_logger("orders", "1.2")
for number in range(count):
    logger.emit(
        LogRecord(
            timestamp=time.time_ns(),
            severity_number=SeverityNumber.WARN,
            severity_text="WARN",
            body=f"order {number}",
            attributes={"number": number, "nested": {"list": [1, "two", 3.5]}},
        )
    )
assert provider.force_flush(30_000)
provider.shutdown()
print(count)
