//! The bytes of states and keys at rest: versioned, length-prefixed, read strictly.
//!
//! Owns the little that every encoding shares. Integers are big-endian; a reader that is not at the end is an error.

use halcyon_crypto::{CompactKey, Secret, SecretBytes};

/// Bytes at rest are not what this version writes: they are damaged, or a newer version wrote them. The stored bytes are as they
/// were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// PEC-19, PQ3-32: a newer program has used this store (an upgrade that was taken back, or interrupted half-way). Keep the bytes:
    /// that program reads them.
    #[error("stored state has version {0}, which this version does not read")]
    Version(u8),
    /// The store is damaged: no version reads this. A session can begin anew in its place
    /// ([`Session::restart`](crate::Session::restart)); keys cannot.
    #[error("stored state is damaged")]
    Damaged,
}

/// Writes a state into a buffer of its final size, so that growing leaves no copies of secrets behind.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new(version: u8, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(1 + capacity);
        bytes.push(version);
        Self(bytes)
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        if self.0.capacity() - self.0.len() < bytes.len() {
            // A wrong estimate costs a copy, which is wiped, and no secret.
            let mut larger = Vec::with_capacity(2 * (self.0.len() + bytes.len()));
            larger.extend_from_slice(&self.0);
            drop(SecretBytes::from_vec(std::mem::replace(&mut self.0, larger)));
        }
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn u32(&mut self, number: u32) {
        self.raw(&number.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, number: u64) {
        self.raw(&number.to_be_bytes());
    }

    /// Writes a length as u32 and the bytes.
    pub(crate) fn sized(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).expect("states are far below 4 GiB"));
        self.raw(bytes);
    }

    pub(crate) fn finish(self) -> SecretBytes {
        SecretBytes::from_vec(self.0)
    }
}

/// Reads what a [`Writer`] wrote.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], version: u8) -> Result<Self, StateError> {
        match bytes.split_first() {
            Some((found, rest)) if *found == version => Ok(Self(rest)),
            // No version had this number.
            Some((0, _)) => Err(StateError::Damaged),
            Some((found, _)) => Err(StateError::Version(*found)),
            None => Err(StateError::Damaged),
        }
    }

    pub(crate) fn raw(&mut self, len: usize) -> Result<&'a [u8], StateError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(StateError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        self.raw(N)?.try_into().map_err(|_| StateError::Damaged)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, StateError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, StateError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn key(&mut self) -> Result<CompactKey, StateError> {
        self.array().map(CompactKey::from_bytes)
    }

    pub(crate) fn secret(&mut self) -> Result<Secret<32>, StateError> {
        Secret::try_from(self.raw(32)?).map_err(|_| StateError::Damaged)
    }

    pub(crate) fn sized(&mut self) -> Result<&'a [u8], StateError> {
        let len = self.u32()?;
        self.raw(usize::try_from(len).map_err(|_| StateError::Damaged)?)
    }

    /// Reads a count that must not exceed `max`, so that damage cannot ask for memory.
    pub(crate) fn count(&mut self, max: usize) -> Result<usize, StateError> {
        let count = usize::try_from(self.u32()?).map_err(|_| StateError::Damaged)?;
        if count <= max { Ok(count) } else { Err(StateError::Damaged) }
    }

    pub(crate) fn end(self) -> Result<(), StateError> {
        if self.0.is_empty() { Ok(()) } else { Err(StateError::Damaged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a vector does by itself when it grows would leave the secrets behind where it was.
    #[test]
    fn a_writer_grows_by_itself_and_only_when_it_has_to() {
        let mut writer = Writer::new(1, 4);
        let room = writer.0.capacity();
        writer.raw(&vec![2; room - 1]);
        assert_eq!(writer.0.capacity(), room, "it fits exactly");
        writer.raw(&[3]);
        assert!(writer.0.capacity() >= 2 * (room + 1), "{} after {room}", writer.0.capacity());
        assert_eq!(writer.finish().expose(), [&[1][..], &vec![2; room - 1], &[3]].concat());
        let mut writer = Writer::new(1, 0);
        writer.raw(&[4; 100]);
        assert!(writer.0.capacity() >= 2 * 101, "{}", writer.0.capacity());
    }
}
