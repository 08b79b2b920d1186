//! The options of a process that joins a cluster.

/// The number of this process, and the addresses of all.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    pub process: usize,
    /// `host:port` of each process, in order; each listens on its own while it joins.
    pub addresses: Vec<String>,
    /// Timely workers of each process.
    pub workers: usize,
    pub secret: ClusterSecret,
    /// Random bytes, for nonces.
    pub seed: [u8; 32],
}

/// The secret that all processes of a cluster share.
#[derive(Clone)]
pub struct ClusterSecret([u8; 32]);

impl ClusterSecret {
    /// Derives the secret from the text that all processes are given.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self(blake3::derive_key("weir cluster join 1", text.as_bytes()))
    }

    /// A hasher keyed with the secret.
    pub(super) fn hasher(&self) -> blake3::Hasher {
        blake3::Hasher::new_keyed(&self.0)
    }
}

impl std::fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterSecret")
    }
}
