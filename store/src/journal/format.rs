//! The on-disk format of segments: segment header, block header, and packed entries.
//!
//! ```text
//! segment   magic 8 | version 4 | zero 4 | salt 8 | end before it 72 | crc 4
//! block     magic 4 | codec 4 | salt 8 | payload 4 | raw 4 | entries 4 | batches 4
//!           | first entry 8 | first batch 8 | sealed 8 | unsealed 8 | received 8
//!           | payload crc 4 | zero 4 | chain 32 | header crc 4, then the payload
//! ```
//! All numbers are little-endian; CRCs are CRC32C. `chain` is the BLAKE3 hash of the previous
//! chain, the header up to `chain`, and the payload. Each segment has a random salt. Without it a
//! sender could forge a log line that a search for the next valid block takes for a block.

use weir_schema::Entry;

pub(crate) const FORMAT_VERSION: u32 = 1;
const SEGMENT_MAGIC: [u8; 8] = *b"WEIRJRNL";
pub(crate) const BLOCK_MAGIC: [u8; 4] = [0xf7, b'W', b'B', 0x1a];
pub(crate) const SEGMENT_HEADER_BYTES: usize = 100;
pub(crate) const BLOCK_HEADER_BYTES: usize = 116;
const CHAIN_AT: usize = 80;

/// Most bytes of one encoded entry: a batch of 10,000 frames of 3 KB. An entry must fit one block.
pub const ENTRY_BYTES_MAX: usize = 32 << 20;
/// Most bytes of a block before compression. Readers check it before they allocate, so a damaged
/// length cannot claim more memory.
pub const BLOCK_RAW_BYTES_MAX: usize = 64 << 20;
/// Bytes at which a block is closed: enough to compress well, few to decode for one line.
pub(crate) const BLOCK_RAW_BYTES_TARGET: usize = 1 << 20;
/// Smaller payloads are not worth a compressor's header.
const COMPRESS_BYTES_MIN: usize = 128;
/// The fastest level: the journal must keep up with the network on a fraction of a core.
pub(crate) const ZSTD_LEVEL: i32 = 1;

/// The end of the journal: everything that the next block depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalEnd {
    pub next_entry: u64,
    pub next_batch: u64,
    /// The last sealed epoch, 0 for none.
    pub sealed: u64,
    /// Entries after the last seal.
    pub unsealed: u64,
    /// The greatest time of receipt.
    pub received: i64,
    pub chain: [u8; 32],
}

impl JournalEnd {
    pub const START: Self = Self {
        next_entry: 0,
        next_batch: 0,
        sealed: 0,
        unsealed: 0,
        received: i64::MIN,
        chain: [0; 32],
    };
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub salt: u64,
    /// The end of the journal before this segment.
    pub before: JournalEnd,
}

/// Why the header of a segment cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SegmentHeaderError {
    Damaged,
    Version(u32),
}

impl SegmentHeader {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        out.extend(SEGMENT_MAGIC);
        out.extend(FORMAT_VERSION.to_le_bytes());
        out.extend([0; 4]);
        out.extend(self.salt.to_le_bytes());
        out.extend(self.before.next_entry.to_le_bytes());
        out.extend(self.before.next_batch.to_le_bytes());
        out.extend(self.before.sealed.to_le_bytes());
        out.extend(self.before.unsealed.to_le_bytes());
        out.extend(self.before.received.to_le_bytes());
        out.extend(self.before.chain);
        out.extend(crc32c::crc32c(&out).to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, SegmentHeaderError> {
        let mut fields =
            FieldReader::checked(bytes, SEGMENT_HEADER_BYTES).ok_or(SegmentHeaderError::Damaged)?;
        let read = |fields: &mut FieldReader<'_>| {
            if fields.array()? != SEGMENT_MAGIC {
                return None;
            }
            let version = fields.u32()?;
            fields.u32()?;
            let salt = fields.u64()?;
            let before = JournalEnd {
                next_entry: fields.u64()?,
                next_batch: fields.u64()?,
                sealed: fields.u64()?,
                unsealed: fields.u64()?,
                received: i64::from_le_bytes(fields.array()?),
                chain: fields.array()?,
            };
            Some((version, Self { salt, before }))
        };
        match read(&mut fields).ok_or(SegmentHeaderError::Damaged)? {
            (FORMAT_VERSION, header) => Ok(header),
            (version, _) => Err(SegmentHeaderError::Version(version)),
        }
    }
}

/// The compression of a block's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Plain = 0,
    Zstd = 1,
}

/// The header of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub codec: Codec,
    pub salt: u64,
    pub payload_bytes: u32,
    pub raw_bytes: u32,
    pub entries: u32,
    pub batches: u32,
    pub first_entry: u64,
    pub first_batch: u64,
    /// As in [`JournalEnd`], after the last entry of the block.
    pub sealed: u64,
    pub unsealed: u64,
    pub received: i64,
    pub payload_crc: u32,
    pub chain: [u8; 32],
}

impl BlockHeader {
    /// The bytes that the chain covers.
    fn encode_linked(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BLOCK_HEADER_BYTES);
        out.extend(BLOCK_MAGIC);
        out.extend((self.codec as u32).to_le_bytes());
        out.extend(self.salt.to_le_bytes());
        out.extend(self.payload_bytes.to_le_bytes());
        out.extend(self.raw_bytes.to_le_bytes());
        out.extend(self.entries.to_le_bytes());
        out.extend(self.batches.to_le_bytes());
        out.extend(self.first_entry.to_le_bytes());
        out.extend(self.first_batch.to_le_bytes());
        out.extend(self.sealed.to_le_bytes());
        out.extend(self.unsealed.to_le_bytes());
        out.extend(self.received.to_le_bytes());
        out.extend(self.payload_crc.to_le_bytes());
        out.extend([0; 4]);
        debug_assert_eq!(out.len(), CHAIN_AT);
        out
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.encode_linked();
        out.extend(self.chain);
        out.extend(crc32c::crc32c(&out).to_le_bytes());
        out
    }

    /// Decodes a header; `None` if its checksum is wrong or a length exceeds its limit.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(&BLOCK_MAGIC) {
            return None;
        }
        let mut fields = FieldReader::checked(bytes, BLOCK_HEADER_BYTES)?;
        fields.u32()?;
        let codec = match fields.u32()? {
            0 => Codec::Plain,
            1 => Codec::Zstd,
            // This format version has no other codec.
            _ => return None,
        };
        let header = Self {
            codec,
            salt: fields.u64()?,
            payload_bytes: fields.u32()?,
            raw_bytes: fields.u32()?,
            entries: fields.u32()?,
            batches: fields.u32()?,
            first_entry: fields.u64()?,
            first_batch: fields.u64()?,
            sealed: fields.u64()?,
            unsealed: fields.u64()?,
            received: i64::from_le_bytes(fields.array()?),
            payload_crc: fields.u32()?,
            chain: {
                fields.u32()?;
                fields.array()?
            },
        };
        let within = header.payload_bytes as usize <= BLOCK_RAW_BYTES_MAX
            && header.raw_bytes as usize <= BLOCK_RAW_BYTES_MAX
            && header.batches <= header.entries
            && header
                .first_entry
                .checked_add(header.entries.into())
                .is_some()
            && header
                .first_batch
                .checked_add(header.batches.into())
                .is_some();
        within.then_some(header)
    }

    /// The chain of this block if `before` is the chain of the previous block.
    pub fn link(&self, before: &[u8; 32], payload: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(before);
        hasher.update(&self.encode_linked());
        hasher.update(payload);
        *hasher.finalize().as_bytes()
    }

    /// The end of the journal after this block.
    pub fn end(&self) -> JournalEnd {
        JournalEnd {
            next_entry: self.first_entry + u64::from(self.entries),
            next_batch: self.next_batch(),
            sealed: self.sealed,
            unsealed: self.unsealed,
            received: self.received,
            chain: self.chain,
        }
    }

    pub fn next_batch(&self) -> u64 {
        self.first_batch + u64::from(self.batches)
    }

    /// Bytes of header and payload.
    pub fn block_bytes(&self) -> u64 {
        BLOCK_HEADER_BYTES as u64 + u64::from(self.payload_bytes)
    }
}

/// Largest buffer that is kept for the next block.
pub(crate) const BUFFER_BYTES_MAX: usize = 4 * BLOCK_RAW_BYTES_TARGET;

/// Empties a buffer for reuse, and frees what a large block took.
fn clear_buffer(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(BUFFER_BYTES_MAX);
}

/// Compresses blocks. Reuses its buffer.
pub(crate) struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
    packed: Vec<u8>,
}

impl Packer {
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            compressor: zstd::bulk::Compressor::new(ZSTD_LEVEL)?,
            packed: Vec::new(),
        })
    }

    /// Compresses encoded entries if that makes them smaller.
    pub fn pack<'p>(&'p mut self, raw: &'p [u8]) -> std::io::Result<(Codec, &'p [u8])> {
        if raw.len() < COMPRESS_BYTES_MIN {
            return Ok((Codec::Plain, raw));
        }
        clear_buffer(&mut self.packed);
        self.packed
            .reserve(zstd::zstd_safe::compress_bound(raw.len()));
        self.compressor.compress_to_buffer(raw, &mut self.packed)?;
        Ok(if self.packed.len() < raw.len() {
            (Codec::Zstd, &self.packed)
        } else {
            (Codec::Plain, raw)
        })
    }
}

/// Decompresses blocks. Reuses its buffer.
#[derive(Default)]
pub(crate) struct Unpacker {
    decompressor: Option<zstd::bulk::Decompressor<'static>>,
    raw: Vec<u8>,
}

impl Unpacker {
    /// The encoded entries of a payload; `None` if it is damaged.
    fn raw<'p>(&'p mut self, header: &BlockHeader, payload: &'p [u8]) -> Option<&'p [u8]> {
        let raw_bytes = header.raw_bytes as usize;
        let raw = match header.codec {
            Codec::Plain => payload,
            Codec::Zstd => {
                let decompressor = match &mut self.decompressor {
                    Some(decompressor) => decompressor,
                    none => none.insert(zstd::bulk::Decompressor::new().ok()?),
                };
                clear_buffer(&mut self.raw);
                self.raw.reserve(raw_bytes);
                let unpacked = decompressor.decompress_to_buffer(payload, &mut self.raw);
                unpacked.ok()?;
                &self.raw
            }
        };
        (raw.len() == raw_bytes).then_some(raw)
    }
}

/// Decodes the entries of a block; `None` if they do not match the header.
pub(crate) fn unpack(
    unpacker: &mut Unpacker,
    header: &BlockHeader,
    payload: &[u8],
) -> Option<Vec<Entry>> {
    let mut rest = unpacker.raw(header, payload)?;
    let mut entries = Vec::new();
    let mut batches = 0;
    while !rest.is_empty() {
        let (entry, after) = postcard::take_from_bytes::<Entry>(rest).ok()?;
        batches += u32::from(matches!(entry, Entry::Batch(_)));
        entries.push(entry);
        rest = after;
    }
    (entries.len() == header.entries as usize && batches == header.batches).then_some(entries)
}

/// Decodes the entries of a payload under a valid header with these values. For the fuzzer.
pub(crate) fn decode_payload(
    payload: &[u8],
    compressed: bool,
    raw_bytes: u32,
    entries: u32,
    batches: u32,
) -> Option<Vec<Entry>> {
    let codec = if compressed {
        Codec::Zstd
    } else {
        Codec::Plain
    };
    let header = BlockHeader {
        codec,
        salt: 0,
        payload_bytes: u32::try_from(payload.len()).ok()?,
        raw_bytes,
        entries,
        batches,
        first_entry: 0,
        first_batch: 0,
        sealed: 0,
        unsealed: 0,
        received: 0,
        payload_crc: 0,
        chain: [0; 32],
    };
    // Encode and decode, to enforce the limits of a header.
    let header = BlockHeader::decode(&header.encode())?;
    unpack(&mut Unpacker::default(), &header, payload)
}

/// Reads fixed-size fields from the front of a header.
struct FieldReader<'a>(&'a [u8]);

impl<'a> FieldReader<'a> {
    /// Checks a header of `bytes_len` bytes that ends in a CRC of the bytes before it.
    fn checked(bytes: &'a [u8], bytes_len: usize) -> Option<Self> {
        let (fields, crc) = bytes.get(..bytes_len)?.split_last_chunk::<4>()?;
        (crc32c::crc32c(fields) == u32::from_le_bytes(*crc)).then_some(Self(fields))
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
