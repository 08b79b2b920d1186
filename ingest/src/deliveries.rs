//! Recognizes repeated deliveries: drops duplicates and keeps conflicting events.
//!
//! An agent's event is identified by (tenant, agent, spool, sequence). For each spool, the
//! fingerprints of the last 8,192 events are stored. A repeated event with other bytes is a conflict
//! and is journaled beside the first one; a repeated event older than the fingerprints counts as a
//! duplicate. An unknown spool starts at 0, so a lost beginning shows as a gap. An HTTP request is
//! identified by (tenant, source, idempotency key): senders that count from 1 do not collide. A
//! request with events of several sources is recorded for each of them.
//!
//! The state is a function of the journal: at start, pass every batch to [`Deliveries::observe`].

use std::collections::{HashMap, VecDeque};

use weir_schema::{Batch, Delivery, Position};

use crate::journal::SubmitError;
use crate::spool::{EventNovelty, SpoolChanges, SpoolHistory};

/// Most spools stored. The least recently used tenth is forgotten when there are more. An agent whose
/// spool was forgotten gets a gap error and must start a new spool. Bounds memory to some 300 MB if
/// every spool is busy; an idle fleet takes far less.
pub const SPOOLS_MAX: usize = 4_096;

/// Most idempotency keys stored, each once per source; the oldest are forgotten first.
pub const KEYS_MAX: usize = 100_000;

/// Longest agent id or idempotency key, in bytes.
pub const ID_BYTES_MAX: usize = 255;

type Hash = [u8; 16];

#[derive(Clone, Copy, Debug)]
struct Request {
    digest: Hash,
    /// The part after the last one of this source. Parts in between belong to other sources.
    next_part: u32,
}

#[derive(Debug)]
enum Undo {
    Events(Hash, SpoolChanges),
    Request(Hash, Option<Request>),
}

/// The part of a batch that is new, and counts of the rest.
#[derive(Debug, Default)]
pub(crate) struct BatchAdmission {
    pub batches: Vec<Batch>,
    pub duplicates: u64,
    pub conflicts: u64,
    pub next_sequence: Option<u64>,
}

/// The deliveries in the journal and in the current commit.
#[derive(Debug, Default)]
pub struct Deliveries {
    spools: HashMap<Hash, SpoolHistory>,
    requests: HashMap<Hash, Request>,
    /// Keys of `requests`, oldest first.
    request_order: VecDeque<Hash>,
    delivery_count: u64,
    undo: Vec<Undo>,
}

/// A state that [`Deliveries::rollback`] can restore.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Savepoint(usize);

impl Deliveries {
    /// Creates an empty state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a batch that the journal holds. Call it at start, in journal order.
    pub fn observe(&mut self, batch: &Batch) {
        match &batch.delivery {
            None => {}
            Some(Delivery::Agent {
                agent,
                spool,
                first_sequence,
            }) => {
                let spool = self.spool_mut(spool_hash(&batch.tenant, agent, *spool));
                spool.observe(*first_sequence, batch);
            }
            Some(Delivery::Http {
                key, digest, part, ..
            }) => {
                let hash = key_hash(&batch.tenant, &batch.source, key);
                self.record_part(hash, *digest, *part);
            }
        }
        self.commit();
    }

    /// The sequence before which all events of a spool are durable. Valid only between commits.
    #[must_use]
    pub fn next_sequence(&self, tenant: &str, agent: &str, spool: u64) -> u64 {
        let hash = spool_hash(tenant, agent, spool);
        self.spools.get(&hash).map_or(0, |spool| spool.next)
    }

    pub(crate) fn savepoint(&self) -> Savepoint {
        Savepoint(self.undo.len())
    }

    /// Finds the new part of `batch` and records it as delivered, until a rollback.
    pub(crate) fn admit(&mut self, batch: Batch) -> Result<BatchAdmission, SubmitError> {
        if batch.frames.is_empty() || batch.frames.len() > Position::FRAMES_MAX {
            return Err(SubmitError::Invalid("a batch has 1 to 65,536 frames"));
        }
        match &batch.delivery {
            None => Ok(BatchAdmission {
                batches: vec![batch],
                ..BatchAdmission::default()
            }),
            Some(Delivery::Agent {
                agent,
                spool,
                first_sequence,
            }) => {
                let hash = checked_id(agent).map(|a| spool_hash(&batch.tenant, a, *spool))?;
                let first_sequence = *first_sequence;
                self.admit_events(batch, hash, first_sequence)
            }
            Some(Delivery::Http {
                key, digest, part, ..
            }) => {
                let key = checked_id(key)?;
                let hash = key_hash(&batch.tenant, &batch.source, key);
                let (digest, part) = (*digest, *part);
                self.admit_part(batch, hash, digest, part)
            }
        }
    }

    /// Makes all admitted batches permanent, because they are durable.
    pub(crate) fn commit(&mut self) {
        self.undo.clear();
        while self.request_order.len() > KEYS_MAX {
            if let Some(oldest) = self.request_order.pop_front() {
                self.requests.remove(&oldest);
            }
        }
        if self.spools.len() > SPOOLS_MAX {
            let mut deliveries: Vec<u64> = self
                .spools
                .values()
                .map(|spool| spool.last_delivery)
                .collect();
            let (_, newest_forgotten, _) = deliveries.select_nth_unstable(SPOOLS_MAX / 10);
            let newest_forgotten = *newest_forgotten;
            self.spools
                .retain(|_, spool| spool.last_delivery > newest_forgotten);
            tracing::warn!("too many agent spools; forgot the least recently used ones");
        }
    }

    /// Undoes all admissions since `savepoint`, because they are not durable.
    pub(crate) fn rollback(&mut self, savepoint: Savepoint) {
        for undo in self.undo.drain(savepoint.0..).rev() {
            match undo {
                Undo::Events(hash, changes) => match changes.next_before {
                    None => drop(self.spools.remove(&hash)),
                    Some(next) => {
                        if let Some(spool) = self.spools.get_mut(&hash) {
                            spool.revert(next, changes);
                        }
                    }
                },
                Undo::Request(hash, Some(request)) => {
                    self.requests.insert(hash, request);
                }
                Undo::Request(hash, None) => {
                    self.requests.remove(&hash);
                    // Requests are undone newest first, so this one is the last of the order.
                    self.request_order.pop_back();
                }
            }
        }
    }

    fn spool_mut(&mut self, hash: Hash) -> &mut SpoolHistory {
        self.delivery_count += 1;
        let spool = self.spools.entry(hash).or_default();
        spool.last_delivery = self.delivery_count;
        spool
    }

    fn admit_events(
        &mut self,
        mut batch: Batch,
        hash: Hash,
        first: u64,
    ) -> Result<BatchAdmission, SubmitError> {
        let before = self.spools.get(&hash);
        let expected = before.map_or(0, |spool| spool.next);
        let count = batch.frames.len() as u64;
        if first.checked_add(count).is_none() {
            return Err(SubmitError::Invalid("the sequence number is too large"));
        }
        if first > expected {
            return Err(SubmitError::Gap {
                expected,
                got: first,
            });
        }
        let mut changes = SpoolChanges::from(before);
        let spool = self.spool_mut(hash);
        let mut admission = BatchAdmission::default();
        let frames = std::mem::take(&mut batch.frames);
        let mut run_end = None;
        for (sequence, frame) in (first..).zip(&frames) {
            match spool.record(sequence, frame, &mut changes) {
                EventNovelty::Duplicate => {
                    admission.duplicates += 1;
                    continue;
                }
                EventNovelty::Conflict => admission.conflicts += 1,
                EventNovelty::New => {}
            }
            if run_end != Some(sequence) {
                admission.batches.push(with_sequence(&batch, sequence));
            }
            if let Some(run) = admission.batches.last_mut() {
                run.frames.push(frame);
            }
            run_end = Some(sequence + 1);
        }
        admission.next_sequence = Some(spool.next);
        self.undo.push(Undo::Events(hash, changes));
        Ok(admission)
    }

    fn admit_part(
        &mut self,
        batch: Batch,
        hash: Hash,
        digest: Hash,
        part: u32,
    ) -> Result<BatchAdmission, SubmitError> {
        let known = self.requests.get(&hash);
        if known.is_some_and(|known| known.digest != digest) {
            return Err(SubmitError::Conflict);
        }
        let next_part = known.map_or(0, |known| known.next_part);
        if part < next_part {
            return Ok(BatchAdmission {
                duplicates: batch.frames.len() as u64,
                ..BatchAdmission::default()
            });
        }
        self.record_part(hash, digest, part);
        Ok(BatchAdmission {
            batches: vec![batch],
            ..BatchAdmission::default()
        })
    }

    fn record_part(&mut self, hash: Hash, digest: Hash, part: u32) {
        let next_part = part.saturating_add(1);
        let request = Request { digest, next_part };
        let before = self.requests.insert(hash, request);
        if before.is_none() {
            self.request_order.push_back(hash);
        }
        self.undo.push(Undo::Request(hash, before));
    }
}

fn with_sequence(batch: &Batch, sequence: u64) -> Batch {
    let mut run = batch.clone();
    if let Some(Delivery::Agent { first_sequence, .. }) = &mut run.delivery {
        *first_sequence = sequence;
    }
    run
}

fn checked_id(id: &str) -> Result<&str, SubmitError> {
    if id.is_empty() || id.len() > ID_BYTES_MAX {
        return Err(SubmitError::Invalid(
            "an agent id or idempotency key has 1 to 255 bytes",
        ));
    }
    Ok(id)
}

fn spool_hash(tenant: &str, agent: &str, spool: u64) -> Hash {
    hash(&[tenant.as_bytes(), agent.as_bytes(), &spool.to_le_bytes()])
}

fn key_hash(tenant: &str, source: &str, key: &str) -> Hash {
    hash(&[tenant.as_bytes(), source.as_bytes(), key.as_bytes()])
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut hash = Hash::default();
    hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    hash
}

#[cfg(test)]
mod tests {
    use weir_schema::{Format, ReceiveTime, Transport};

    use super::*;

    fn batch(delivery: Delivery, frames: &[&str]) -> Batch {
        Batch {
            tenant: "default".into(),
            source: "s".into(),
            transport: Transport::Agent,
            format: Format::Agent,
            peer: None,
            zone: None,
            logsource: None,
            received: ReceiveTime(0),
            delivery: Some(delivery),
            frames: frames.iter().collect(),
        }
    }

    fn events(first_sequence: u64, frames: &[&str]) -> Batch {
        let agent = "a".to_owned();
        let spool = 1;
        let delivery = Delivery::Agent {
            agent,
            spool,
            first_sequence,
        };
        batch(delivery, frames)
    }

    fn request(key: &str, body: u8, part: u32) -> Batch {
        let delivery = Delivery::Http {
            key: key.into(),
            digest: [body; 16],
            part,
            last: true,
        };
        batch(delivery, &["x"])
    }

    /// (first sequence, frames) of each admitted run, then duplicates, conflicts, next sequence.
    type Outcome = (Vec<(u64, Vec<String>)>, u64, u64, Option<u64>);

    fn outcome(admission: BatchAdmission) -> Outcome {
        let runs = admission.batches.iter().map(|batch| {
            let first = match batch.delivery {
                Some(Delivery::Agent { first_sequence, .. }) => first_sequence,
                _ => 0,
            };
            let text = |frame: &[u8]| String::from_utf8_lossy(frame).into_owned();
            (first, batch.frames.iter().map(text).collect())
        });
        let runs = runs.collect();
        (
            runs,
            admission.duplicates,
            admission.conflicts,
            admission.next_sequence,
        )
    }

    #[test]
    fn drop_duplicates_keep_conflicts_and_refuse_gaps() {
        let mut deliveries = Deliveries::new();
        let mut rebuilt = Deliveries::new();
        let run =
            |first: u64, frames: &[&str]| (first, frames.iter().map(|f| f.to_string()).collect());
        let steps: [(Batch, Outcome); 6] = [
            (
                events(0, &["a", "b"]),
                (vec![run(0, &["a", "b"])], 0, 0, Some(2)),
            ),
            (events(0, &["a", "b"]), (vec![], 2, 0, Some(2))),
            (
                events(1, &["b", "c"]),
                (vec![run(2, &["c"])], 1, 0, Some(3)),
            ),
            (
                events(0, &["A", "b", "C", "d"]),
                (vec![run(0, &["A"]), run(2, &["C", "d"])], 1, 2, Some(4)),
            ),
            (events(0, &["A"]), (vec![], 1, 0, Some(4))),
            (events(0, &["a"]), (vec![], 1, 0, Some(4))),
        ];
        for (batch, expected) in steps {
            let admission = deliveries.admit(batch).unwrap();
            deliveries.commit();
            admission.batches.iter().for_each(|b| rebuilt.observe(b));
            assert_eq!(outcome(admission), expected);
        }
        for deliveries in [&mut deliveries, &mut rebuilt] {
            let gap = deliveries.admit(events(9, &["x"])).unwrap_err();
            assert_eq!(
                gap,
                SubmitError::Gap {
                    expected: 4,
                    got: 9
                }
            );
            let again = deliveries.admit(events(0, &["A", "b", "C", "d"])).unwrap();
            assert_eq!(outcome(again), (vec![], 4, 0, Some(4)));
            assert_eq!(
                deliveries.next_sequence("other", "a", 1),
                0,
                "tenants are separate"
            );
            let wrap = deliveries.admit(events(u64::MAX, &["x"])).unwrap_err();
            assert!(matches!(wrap, SubmitError::Invalid(_)));
        }
    }

    #[test]
    fn key_identifies_one_body_and_rollback_frees_it() {
        let mut deliveries = Deliveries::new();
        let start = deliveries.savepoint();
        assert_eq!(
            deliveries.admit(request("k", 1, 0)).unwrap().batches.len(),
            1
        );
        assert_eq!(
            deliveries.admit(events(0, &["a"])).unwrap().batches.len(),
            1
        );
        deliveries.rollback(start);
        assert_eq!(deliveries.next_sequence("default", "a", 1), 0);
        assert_eq!(
            deliveries.admit(request("k", 2, 0)).unwrap().batches.len(),
            1
        );
        deliveries.commit();
        assert_eq!(deliveries.admit(request("k", 2, 0)).unwrap().duplicates, 1);
        assert_eq!(
            deliveries.admit(request("k", 2, 1)).unwrap().batches.len(),
            1
        );
        let conflict = deliveries.admit(request("k", 1, 0)).unwrap_err();
        assert_eq!(conflict, SubmitError::Conflict);
    }

    #[test]
    fn the_same_key_of_another_source_or_tenant_is_another_request() {
        let of = |tenant: &str, source: &str, body| Batch {
            tenant: tenant.into(),
            source: source.into(),
            ..request("1", body, 0)
        };
        let mut deliveries = Deliveries::new();
        let mut rebuilt = Deliveries::new();
        let mut admit = |batch: Batch| {
            let admission = deliveries.admit(batch)?;
            deliveries.commit();
            admission.batches.iter().for_each(|b| rebuilt.observe(b));
            Ok::<_, SubmitError>((admission.batches.len(), admission.duplicates))
        };
        assert_eq!(admit(of("default", "a", 1)), Ok((1, 0)));
        assert_eq!(admit(of("default", "b", 1)), Ok((1, 0)), "same body");
        assert_eq!(admit(of("default", "c", 2)), Ok((1, 0)), "other body");
        assert_eq!(admit(of("other", "a", 2)), Ok((1, 0)), "other tenant");
        for source in ["a", "b"] {
            assert_eq!(admit(of("default", source, 1)), Ok((0, 1)));
            assert_eq!(admit(of("default", source, 2)), Err(SubmitError::Conflict));
        }
        assert_eq!(rebuilt.requests.len(), 4);
        let again = rebuilt.admit(of("default", "b", 1)).unwrap();
        assert_eq!((again.batches.len(), again.duplicates), (0, 1));
    }

    #[test]
    fn a_repeated_request_of_several_sources_adds_only_its_missing_parts() {
        let part = |source: &str, part| Batch {
            source: source.into(),
            ..request("k", 1, part)
        };
        let body = || [part("a", 0), part("b", 1), part("a", 2), part("b", 3)];
        let mut deliveries = Deliveries::new();
        // A crash left the first three parts in the journal.
        body().iter().take(3).for_each(|b| deliveries.observe(b));
        let admitted = body().map(|batch| deliveries.admit(batch).unwrap().batches.len());
        assert_eq!(admitted, [0, 0, 0, 1]);
        deliveries.commit();
        let admitted = body().map(|batch| deliveries.admit(batch).unwrap().batches.len());
        assert_eq!(admitted, [0; 4]);
    }

    #[test]
    fn rollback_restores_the_exact_spool() {
        for (before, added) in [(0, 5), (9, 5), (8_190, 9), (8_192, 10_000), (20_000, 8_193)] {
            let frames: Vec<String> = (0..before + added).map(|n| n.to_string()).collect();
            let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
            let (old, new) = frames.split_at(before);
            let mut deliveries = Deliveries::new();
            if before > 0 {
                deliveries.admit(events(0, old)).unwrap();
                deliveries.commit();
            }
            let spool = |d: &Deliveries| {
                d.spools
                    .values()
                    .next()
                    .map(|s| (s.next, s.fingerprints.clone()))
            };
            let expected = spool(&deliveries);
            let start = deliveries.savepoint();
            deliveries.admit(events(before as u64, new)).unwrap();
            deliveries
                .admit(events((before + added) as u64, &["x"]))
                .unwrap();
            deliveries.rollback(start);
            assert_eq!(spool(&deliveries), expected, "{added} after {before}");
        }
    }

    #[test]
    fn forget_the_oldest_spools_and_keys() {
        let mut deliveries = Deliveries::new();
        for key in 0..KEYS_MAX + 10 {
            deliveries.observe(&request(&key.to_string(), 1, 0));
        }
        assert_eq!(deliveries.requests.len(), KEYS_MAX);
        assert_eq!(deliveries.admit(request("0", 1, 0)).unwrap().duplicates, 0);
        assert_eq!(deliveries.admit(request("20", 1, 0)).unwrap().duplicates, 1);
        for spool in 0..=SPOOLS_MAX as u64 {
            let agent = "a".to_owned();
            let delivery = Delivery::Agent {
                agent,
                spool,
                first_sequence: 0,
            };
            deliveries.observe(&batch(delivery, &["x"]));
        }
        assert!(deliveries.spools.len() <= SPOOLS_MAX);
        let newest = deliveries.next_sequence("default", "a", SPOOLS_MAX as u64);
        assert_eq!(
            (newest, deliveries.next_sequence("default", "a", 0)),
            (1, 0)
        );
    }
}
