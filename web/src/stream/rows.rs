//! Encodes outbox rows in the formats of alert streams.

use std::io::Write as _;

use bytes::Bytes;
use serde_json::json;
use weir_schema::alert_frame;
use weir_schema::outbox::{OutboxFilter, OutboxRows};

use crate::alert_json::change_json_as;
use crate::ports::{Alerts, Cursor, FindingWriter, PortError};

/// Rows of one read, and of one chunk; a row has about 5 KiB at most.
const ROWS_MAX: usize = 64;
/// Delay after which a disconnected client of server-sent events reconnects.
const RETRY_MS: u32 = 2_000;
/// Where a client that missed rows reads the current state of every alert.
const CATCH_UP: &str = "/api/v1/alerts?standing=all";

/// The format of an alert stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamFormat {
    Sse,
    Ndjson,
    /// Frames of `schema/alert.fbs`, each prefixed with its length.
    Flatbuffers,
}

impl StreamFormat {
    /// The label of metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::Ndjson => "ndjson",
            Self::Flatbuffers => "flatbuffers",
        }
    }

    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::Ndjson => "application/x-ndjson",
            Self::Flatbuffers => alert_frame::MEDIA_TYPE,
        }
    }

    /// The first chunk of a stream: an id without data sets the client's cursor and emits no event.
    pub(super) fn greeting(self, cursor: Cursor) -> Option<Bytes> {
        match self {
            Self::Sse => Some(format!("retry: {RETRY_MS}\nid: {cursor}\n\n").into()),
            Self::Ndjson | Self::Flatbuffers => None,
        }
    }

    /// A chunk that keeps the connection alive; with a cursor, it also moves the client's cursor.
    pub(super) fn heartbeat(self, cursor: Option<Cursor>) -> Bytes {
        match (self, cursor) {
            (Self::Sse, Some(cursor)) => format!(":\nid: {cursor}\n\n").into(),
            (Self::Sse, None) => Bytes::from_static(b":\n\n"),
            (Self::Ndjson, _) => Bytes::from_static(b"\n"),
            // A frame of length 0.
            (Self::Flatbuffers, _) => Bytes::from_static(&[0; 4]),
        }
    }

    /// Reports that the outbox no longer has the rows after `from` and before `to`.
    ///
    /// It carries no id. A client that disconnects before the next row gets the gap again.
    fn gap(self, from: Cursor, to: Cursor) -> Vec<u8> {
        let (first, next) = (from.to_string(), to.to_string());
        match self {
            Self::Sse => {
                let data = json!({ "from": first, "to": next, "catch_up": CATCH_UP });
                format!("event: gap\ndata: {data}\n\n").into_bytes()
            }
            Self::Ndjson => {
                let row =
                    json!({ "change": "gap", "from": first, "to": next, "catch_up": CATCH_UP });
                format!("{row}\n").into_bytes()
            }
            Self::Flatbuffers => alert_frame::encode_gap(from, to),
        }
    }
}

/// Selects and encodes the rows of one stream.
#[derive(Clone)]
pub(super) struct RowEncoder {
    pub(super) format: StreamFormat,
    pub(super) filter: OutboxFilter,
    /// Encodes changes as OCSF findings if set.
    pub(super) finding: Option<FindingWriter>,
}

/// The encoded rows of one read of the outbox.
pub(super) struct EncodedRows {
    pub(super) bytes: Vec<u8>,
    /// Number of rows in `bytes`.
    pub(super) rows: u64,
    /// The last row that was read.
    pub(super) last_read: Option<Cursor>,
    /// The last row in `bytes`.
    pub(super) last_encoded: Option<Cursor>,
    /// Whether the outbox no longer had the next rows; `bytes` then begins with a gap.
    pub(super) has_gap: bool,
    /// Whether the read returned as many rows as it may; more may follow.
    pub(super) is_full: bool,
}

impl RowEncoder {
    /// Reads the rows after a cursor and encodes those that pass the filter. Blocks.
    pub(super) fn read(
        &self,
        alerts: &dyn Alerts,
        after: Cursor,
    ) -> Result<EncodedRows, PortError> {
        let OutboxRows { changes, has_gap } = alerts.outbox(after, ROWS_MAX)?;
        let mut read = EncodedRows {
            bytes: Vec::new(),
            rows: 0,
            last_read: changes.last().map(Cursor::of),
            last_encoded: None,
            has_gap,
            is_full: changes.len() >= ROWS_MAX,
        };
        if has_gap {
            let to = changes.first().map_or(after, Cursor::of);
            read.bytes = self.format.gap(after, to);
        }
        for change in &changes {
            let Some(kind) = self.filter.emitted_kind(alerts, change)? else {
                continue;
            };
            let cursor = Cursor::of(change);
            let json = || match &self.finding {
                Some(finding) => finding(change, kind),
                None => change_json_as(change, kind),
            };
            // Writing to memory cannot fail.
            let _ = match self.format {
                StreamFormat::Sse => {
                    let (event, json) = (kind.name(), json());
                    write!(read.bytes, "id: {cursor}\nevent: {event}\ndata: {json}\n\n")
                }
                StreamFormat::Ndjson => writeln!(read.bytes, "{}", json()),
                StreamFormat::Flatbuffers => {
                    read.bytes.write_all(&alert_frame::encode(change, kind))
                }
            };
            read.rows += 1;
            read.last_encoded = Some(cursor);
        }
        Ok(read)
    }
}
