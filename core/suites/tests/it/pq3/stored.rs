//! What a thief reads on a copied disk: a stored session, taken apart by PQ3-32 without the code that wrote it.

use halcyon_crypto::Secret;
use halcyon_suites::Session;

/// One ratchet.
#[derive(Clone, Debug)]
pub(crate) struct StoredSession {
    pub(crate) root: [u8; 32],
    pub(crate) sending: Option<StoredSending>,
    /// Newest first.
    pub(crate) receiving: Vec<StoredReceiving>,
    pub(crate) peer_offer: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub(crate) struct StoredSending {
    pub(crate) ephemeral: [u8; 32],
    pub(crate) secret: [u8; 32],
    pub(crate) kem_seed: Option<[u8; 64]>,
    pub(crate) kem_key: Option<Vec<u8>>,
    pub(crate) chain: [u8; 32],
    pub(crate) next: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct StoredReceiving {
    pub(crate) ephemeral: [u8; 32],
    pub(crate) chain: [u8; 32],
    pub(crate) next: u32,
    pub(crate) skipped: Vec<(u32, [u8; 32])>,
}

/// Reads all ratchets of a session that has only spoken `pq3`, the preferred one first.
pub(crate) fn sessions(session: &Session) -> Vec<StoredSession> {
    let stored = session.to_secret_bytes();
    let mut at = Cursor(stored.expose());
    // Prekeys sealed to, whether there was a restart, windows.
    let pair_ec = at.array::<13>();
    assert_eq!((&pair_ec[1..5], &pair_ec[9..]), (&[0; 4][..], &[0; 4][..]), "nothing of pair-ec");
    let count = at.u32();
    (0..count).map(|_| read(&mut at)).collect()
}

/// Reads the preferred ratchet.
pub(crate) fn preferred(session: &Session) -> StoredSession {
    sessions(session).swap_remove(0)
}

fn read(at: &mut Cursor<'_>) -> StoredSession {
    let _name_and_role = at.array::<84>();
    let root = at.array();
    let sending = at.optional(|at| StoredSending {
        ephemeral: at.array(),
        secret: at.array(),
        kem_seed: at.optional(Cursor::array),
        kem_key: at.optional(Cursor::sized),
        chain: {
            let (_encap, _prekey_hash) = (at.optional(Cursor::sized), at.optional(Cursor::array::<48>));
            at.array()
        },
        next: {
            let next = at.u32();
            let _begun = at.array::<8>();
            next
        },
    });
    let chains = at.u32();
    let receiving = (0..chains).map(|_| StoredReceiving {
        ephemeral: at.array(),
        chain: at.array(),
        next: at.u32(),
        skipped: {
            let count = at.u32();
            (0..count).map(|_| (at.u32(), at.array::<4>(), at.array())).map(|(index, _, key)| (index, key)).collect()
        },
    });
    let receiving = receiving.collect();
    let peer_offer = at.optional(Cursor::sized);
    let _messages = at.u32();
    let _rekeyed = at.optional(Cursor::array::<8>);
    let _times = at.array::<16>();
    StoredSession { root, sending, receiving, peer_offer }
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_first_chunk().unwrap();
        self.0 = rest;
        *taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    fn sized(&mut self) -> Vec<u8> {
        let len = self.u32() as usize;
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken.to_vec()
    }

    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        match self.u32() {
            0 => None,
            1 => Some(read(self)),
            other => panic!("{other} marks nothing"),
        }
    }
}

pub(crate) fn secret<const N: usize>(bytes: [u8; N]) -> Secret<N> {
    Secret::fill_with(|out| *out = bytes)
}
