//! The values of each message, computed from what the devices drew: a second, slower reading of spec/43-pq3.md.
//!
//! Owns what an all-knowing observer keeps of each session. Does not look into the product's sessions; only the key
//! schedule and the primitives are shared.

use std::collections::HashMap;

use halcyon_crypto::{
    AgreementKey, AgreementPublic, KemPrivate, KemPublic, MlKem768, MlKem1024, Secret, hash, padding,
};
use halcyon_suites::pq3::{
    kdf::{ChainKey, RootKey},
    wire::Message,
};
use serde_json::{Map, Value};

/// What is known of every session, by its name.
#[derive(Default)]
pub(super) struct Model {
    sessions: HashMap<[u8; 80], Known>,
}

struct Known {
    root: RootKey,
    /// The newest chain's x(E) and its KEM offer's seed.
    newest: [u8; 32],
    offered: Option<Vec<u8>>,
    /// Chain keys by x(E).
    chains: HashMap<[u8; 32], ChainKey>,
}

/// What the model needs to know of a message beside its bytes.
pub(super) struct Sealed<'a> {
    pub(super) session: [u8; 80],
    pub(super) message: &'a Message,
    /// What the sender drew for it.
    pub(super) random: &'a [u8],
    pub(super) plaintext: &'a [u8],
    /// dst(sender, recipient) in its two halves.
    pub(super) from: &'a [u8],
    pub(super) to: &'a [u8],
    /// x(prekey) and KEM prekey of the recipient.
    pub(super) prekey: &'a [u8; 32],
    pub(super) kem_prekey: &'a [u8],
}

impl Model {
    /// Returns the values of the next message of a session; an error names the first that the message contradicts.
    pub(super) fn values(&mut self, sealed: &Sealed<'_>) -> Result<Map<String, Value>, String> {
        let mut values = Map::new();
        let mut put = |name: &str, bytes: &[u8]| values.insert(name.to_owned(), hex::encode(bytes).into());
        put("session", &sealed.session);
        let ephemeral = *sealed.message.ephemeral.as_bytes();
        let is_new = self.sessions.get(&sealed.session).is_none_or(|known| !known.chains.contains_key(&ephemeral));
        if is_new {
            let step = self.begin(sealed, ephemeral)?;
            step.into_iter().for_each(|(name, bytes)| drop(put(name, &bytes)));
        } else if !sealed.random.is_empty() {
            return Err("randomness was drawn inside of a chain".to_owned());
        }
        let known = self.sessions.get_mut(&sealed.session).ok_or("the session is not known")?;
        let chain = known.chains.get_mut(&ephemeral).ok_or("the chain is not known")?;

        let (message_key, next) = chain.step();
        let (content, indicator) = (message_key.content_keys(), message_key.indicator());
        put("ck", chain.expose());
        put("mk", message_key.expose());
        put("next_ck", next.expose());
        put("indicator", indicator.expose());
        put("counter_block", content.counter.expose());
        put("content_key", content.key.expose());
        *chain = next;
        let padded = padded(sealed.plaintext);
        let mut ciphertext = padded.clone();
        halcyon_crypto::ctr::apply_aes256(&content.key, content.counter.expose(), &mut ciphertext);
        put("padded", &padded);
        let preimage = preimage(sealed);
        put("signed_sha256", &hash::sha256(&[&preimage]));
        if sealed.message.indicator != *indicator.expose() {
            return Err("the message has another indicator".to_owned());
        }
        if sealed.message.ciphertext != ciphertext {
            return Err("the message has another ciphertext".to_owned());
        }
        values.insert("index".to_owned(), sealed.message.index.into());
        Ok(values)
    }

    /// The root step of a new chain: PQ3-10 or PQ3-12.
    fn begin(&mut self, sealed: &Sealed<'_>, ephemeral: [u8; 32]) -> Result<Vec<(&'static str, Vec<u8>)>, String> {
        let mut random = sealed.random;
        let own = AgreementKey::from_secret(draw(&mut random)?).map_err(|_| "E was drawn again")?;
        if own.compact().as_bytes() != &ephemeral {
            return Err("x(E) is not of the scalar that was drawn".to_owned());
        }
        let head = &sealed.message.head;
        let known = self.sessions.get(&sealed.session);
        let (old_root, peer): (RootKey, [u8; 32]) =
            known.map_or((RootKey::initial(), *sealed.prekey), |known| (known.root.clone(), known.newest));
        let public = AgreementPublic::from_compact(&halcyon_crypto::CompactKey::from_bytes(peer));
        let ecdh = own.agree(&public.map_err(|_| "the peer's key is no key")?);

        let mut info = [sealed.from, sealed.to].concat();
        let kem = match known {
            None => {
                let kem_prekey = KemPublic::<MlKem1024>::from_bytes(sealed.kem_prekey).map_err(|e| e.to_string())?;
                let (encap, secret) = kem_prekey.encapsulate_with(&draw(&mut random)?);
                info.extend_from_slice(b"session_start");
                for part in [&sealed.prekey[..], &ephemeral, &encap, sealed.kem_prekey] {
                    info.extend_from_slice(part);
                }
                same_option("encapsulation", head.encap.as_deref(), Some(&encap))?;
                Some(secret)
            }
            Some(known) => {
                info.extend_from_slice(b"pk_ratchet");
                info.extend_from_slice(&known.newest);
                info.extend_from_slice(&ephemeral);
                match &known.offered {
                    None => {
                        same_option("encapsulation", head.encap.as_deref(), None)?;
                        None
                    }
                    Some(seed) => {
                        let public = KemPrivate::<MlKem768>::from_seed(secret(seed)?).public();
                        let (encap, secret) = public.encapsulate_with(&draw(&mut random)?);
                        info.extend_from_slice(&encap);
                        info.extend_from_slice(public.as_bytes());
                        same_option("encapsulation", head.encap.as_deref(), Some(&encap))?;
                        Some(secret)
                    }
                }
            }
        };
        let (root, chain) = old_root.step(&ecdh, kem.as_ref(), &[&info]);
        let offered = (!random.is_empty()).then(|| random.to_vec());
        let offer =
            offered.as_deref().map(secret).transpose()?.map(|seed| KemPrivate::<MlKem768>::from_seed(seed).public());
        same_option("offer", head.kem_key.as_deref(), offer.as_ref().map(KemPublic::as_bytes))?;

        let step = vec![
            ("old_rk", old_root.expose().to_vec()),
            ("ecdh_ss", ecdh.expose().to_vec()),
            ("kem_ss", kem.map(|kem| kem.expose().to_vec()).unwrap_or_default()),
            ("info", info),
            ("rk", root.expose().to_vec()),
        ];
        let mut chains = self.sessions.remove(&sealed.session).map(|known| known.chains).unwrap_or_default();
        chains.insert(ephemeral, chain);
        self.sessions.insert(sealed.session, Known { root, newest: ephemeral, offered, chains });
        Ok(step)
    }
}

/// PQ3-21, spelled out once more.
fn preimage(sealed: &Sealed<'_>) -> Vec<u8> {
    let message = sealed.message;
    let sized = |part: &[u8]| [&(part.len() as u32).to_be_bytes()[..], part].concat();
    [
        b"messageSignature".to_vec(),
        b"v1".to_vec(),
        sized(&message.ciphertext),
        sized(&message.auth_data),
        message.indicator.to_vec(),
        message.ephemeral.as_bytes().to_vec(),
        message.index.to_be_bytes().to_vec(),
        sealed.from.to_vec(),
        sealed.to.to_vec(),
        sized(message.head.kem_key.as_deref().unwrap_or_default()),
        sized(message.head.encap.as_deref().unwrap_or_default()),
        message.head.prekey_hash.map(Vec::from).unwrap_or_default(),
    ]
    .concat()
}

/// PQ3-18, spelled out once more.
fn padded(plaintext: &[u8]) -> Vec<u8> {
    let len = padding::padded_len(plaintext.len() + 4);
    let mut padded = plaintext.to_vec();
    padded.resize(len - 4, 0);
    padded.extend_from_slice(&((len - 4 - plaintext.len()) as u32).to_le_bytes());
    padded
}

fn draw(random: &mut &[u8]) -> Result<Secret<32>, String> {
    let (drawn, rest) = random.split_at_checked(32).ok_or("too little was drawn")?;
    *random = rest;
    secret(drawn)
}

fn secret<const N: usize>(bytes: &[u8]) -> Result<Secret<N>, String> {
    Secret::try_from(bytes).map_err(|error| error.to_string())
}

fn same_option(what: &str, actual: Option<&[u8]>, expected: Option<&[u8]>) -> Result<(), String> {
    if actual == expected { Ok(()) } else { Err(format!("the message has another {what}")) }
}
