//! Limits how many request bodies are in memory at once, in total and for each address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::BodyError;
use crate::address::limit_key;

/// Event bodies in memory at once.
///
/// Each takes up to [`super::BODY_BYTES_MAX`], plus its lines and what is prepended to them: 512 MiB
/// in total at worst. Further requests wait unread, and TCP slows their senders down.
const BODIES_MAX: usize = 8;

/// Small bodies in memory at once: settings, rules, queries of acknowledgements.
const SMALL_BODIES_MAX: usize = 16;

/// Longest wait of a request for a slot.
const SLOT_TIMEOUT: Duration = Duration::from_secs(10);

/// The slots for request bodies.
pub(crate) struct BodySlots {
    bodies: Semaphore,
    small_bodies: Semaphore,
    shares: AddressShares,
}

/// The right to hold an event body in memory, counted for its sender's address.
pub(crate) struct BodySlot<'s> {
    _slot: SemaphorePermit<'s>,
    _share: OwnedSemaphorePermit,
}

impl BodySlots {
    pub(crate) fn new() -> Self {
        Self {
            bodies: Semaphore::new(BODIES_MAX),
            small_bodies: Semaphore::new(SMALL_BODIES_MAX),
            shares: AddressShares::new(),
        }
    }

    /// Waits for a slot for an event body.
    ///
    /// A request waits for the share of its own address first, where it delays no other address.
    pub(crate) async fn acquire(&self, address: Option<IpAddr>) -> Result<BodySlot<'_>, BodyError> {
        let acquire = async {
            let share = self.shares.share(address).acquire_owned().await;
            let slot = self.bodies.acquire().await;
            Some(BodySlot {
                _share: share.ok()?,
                _slot: slot.ok()?,
            })
        };
        let slot = tokio::time::timeout(SLOT_TIMEOUT, acquire).await;
        slot.ok().flatten().ok_or(BodyError::NoSlot)
    }

    /// Waits for a slot for a small body.
    ///
    /// They are few, because decompression takes 8 MiB even for a small body.
    pub(super) async fn acquire_small(&self) -> Result<SemaphorePermit<'_>, BodyError> {
        let slot = tokio::time::timeout(SLOT_TIMEOUT, self.small_bodies.acquire()).await;
        slot.ok().and_then(Result::ok).ok_or(BodyError::NoSlot)
    }

    /// Whether an event body would have to wait for a slot.
    pub(crate) fn are_full(&self) -> bool {
        self.bodies.available_permits() == 0
    }
}

/// The share of each address in the slots: all but one, so that one address leaves room for others.
struct AddressShares(Mutex<HashMap<IpAddr, Arc<Semaphore>>>);

impl AddressShares {
    const SLOTS_MAX: usize = BODIES_MAX - 1;

    fn new() -> Self {
        Self(Mutex::default())
    }

    /// Returns the share of an address. It exists while a request holds it or waits for it.
    fn share(&self, address: Option<IpAddr>) -> Arc<Semaphore> {
        let address = limit_key(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shares.retain(|_, share| Arc::strong_count(share) > 1);
        let share = shares.entry(address);
        Arc::clone(share.or_insert_with(|| Arc::new(Semaphore::new(Self::SLOTS_MAX))))
    }
}
