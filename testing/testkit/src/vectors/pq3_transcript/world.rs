//! The two devices of a transcript, played with the product's own sessions.

use halcyon_crypto::{CryptoRng, RngCore, Secret, SigningKey, hash, rng::RngError};
use halcyon_suites::{
    OpenError,
    pq3::{AuthData, Opening, Party, PrekeyBundle, PrekeyRing, Sealing, Sessions, wire::Message},
};
use halcyon_types::{AccountId, Handle, PushToken, Timestamp};
use serde_json::{Map, Value, json};

use super::super::{Node, VectorsError};
use super::{
    model::{self, Model},
    script::{self, Event},
};

/// A device, with all of its private keys.
pub(super) struct Device {
    name: String,
    account: AccountId,
    handle: Handle,
    push_token: PushToken,
    key: SigningKey,
    party: Party,
    made: Timestamp,
    /// What was drawn for the bundle: the scalar of the prekey, the seed of the KEM prekey.
    random: Vec<u8>,
    ring: PrekeyRing,
    bundle: PrekeyBundle,
}

impl Device {
    /// Alice and Bob of our own file.
    pub(super) fn generated() -> [Self; 2] {
        ["alice", "bob"].map(|name| {
            let mut tape = Tape::stream(&format!("device {name}"));
            let key = SigningKey::generate_compact(&mut tape);
            let mut rest = [0; 16 + 32 + 96];
            tape.fill_bytes(&mut rest);
            let account = AccountId::from_bytes(rest[..16].try_into().expect("16 bytes"));
            let push_token = PushToken::from_bytes(rest[16..48].try_into().expect("32 bytes"));
            let handle = Handle::parse(&format!("mailto:{name}@example.org")).expect("a handle");
            let device = Self::new(name, account, handle, push_token, &key.to_secret(), script::BEGIN, &rest[48..]);
            device.expect("what was drawn makes keys")
        })
    }

    fn new(
        name: &str,
        account: AccountId,
        handle: Handle,
        push_token: PushToken,
        secret: &Secret<32>,
        made: Timestamp,
        random: &[u8],
    ) -> Result<Self, String> {
        let key = SigningKey::from_secret(secret).and_then(SigningKey::with_deterministic_nonces);
        let key = key.map_err(|error| error.to_string())?;
        let mut tape = Tape::recorded(random);
        let ring = PrekeyRing::generate(&mut tape, &key, made);
        tape.end()?;
        let bundle = PrekeyBundle::verify(ring.record(), key.verifying_key()).map_err(|error| error.to_string())?;
        let party = Party::new(account, key.verifying_key().compact());
        let random = random.to_vec();
        Ok(Self { name: name.to_owned(), account, handle, push_token, key, party, made, random, ring, bundle })
    }

    pub(super) fn read(node: &Node<'_>) -> Result<Self, VectorsError> {
        let handle = Handle::parse(node.text("handle")?).map_err(|_| node.error("handle", "expected a handle"))?;
        let secret = Secret::try_from(node.bytes("device_secret")?.as_slice());
        let secret = secret.map_err(|_| node.error("device_secret", "has the wrong number of bytes"))?;
        Self::new(
            node.text("name")?,
            AccountId::from_bytes(node.array("account")?),
            handle,
            PushToken::from_bytes(node.array("push_token")?),
            &secret,
            Timestamp::from_millis(node.number("time_ms")?),
            &node.bytes("random")?,
        )
        .map_err(|_| node.error("", "expected keys of a device"))
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "account": hex::encode(self.account.as_bytes()),
            "handle": self.handle.as_uri(),
            "push_token": hex::encode(self.push_token.as_bytes()),
            "device_secret": hex::encode(self.key.to_secret().expose()),
            "device_key": hex::encode(self.key.verifying_key().compact().as_bytes()),
            "party": hex::encode(self.party.as_bytes()),
            "time_ms": self.made.as_millis(),
            "random": hex::encode(&self.random),
            "bundle": hex::encode(self.ring.record()),
            "prekey_hash": hex::encode(self.bundle.hash()),
        })
    }
}

/// Two devices, their sessions with each other, and everything that was sealed.
pub(super) struct World {
    devices: [Device; 2],
    sessions: [Sessions; 2],
    model: Model,
    sealed: Vec<(AuthData, Vec<u8>)>,
}

impl World {
    pub(super) fn new(devices: [Device; 2]) -> Self {
        let sessions = [Sessions::default(), Sessions::default()];
        Self { devices, sessions, model: Model::default(), sealed: Vec::new() }
    }

    pub(super) fn devices(&self) -> &[Device; 2] {
        &self.devices
    }

    /// Plays one event, and returns it with everything that came of it.
    pub(super) fn play(&mut self, event: &Event) -> Result<Map<String, Value>, String> {
        let (Event::Seal { by, .. } | Event::Open { by, .. }) = event;
        if *by > 1 {
            return Err("there are two devices".to_owned());
        }
        match event {
            Event::Seal { .. } => self.seal(event),
            Event::Open { by, now, message, flip_bit } => self.open(*by, *now, *message, *flip_bit),
        }
    }

    fn seal(&mut self, event: &Event) -> Result<Map<String, Value>, String> {
        let Event::Seal { by, now, envelope, plaintext, random } = event else {
            return Err("not a seal".to_owned());
        };
        let (own, peer) = (&self.devices[*by], &self.devices[1 - by]);
        let auth_data = AuthData {
            envelope: *envelope,
            sender: own.handle.clone(),
            recipient: peer.handle.clone(),
            sender_push_token: Some(own.push_token),
            recipient_push_token: peer.push_token,
        };
        let sealing = Sealing {
            key: &own.key,
            from: &own.party,
            to: &peer.party,
            recipient: peer.key.verifying_key(),
            bundle: Some(peer.ring.record()),
            auth_data: &auth_data,
        };
        let mut tape = match random {
            Some(random) => Tape::recorded(random),
            None => Tape::stream(&format!("message {}", self.sealed.len())),
        };
        let sessions = std::mem::take(&mut self.sessions[*by]);
        let (bytes, next) =
            sessions.seal(&sealing, &mut tape, *now, plaintext).map_err(|error| format!("not sealed: {error}"))?;
        let session = next.sessions().first().ok_or("no session")?.id().to_bytes();
        self.sessions[*by] = next;
        let drawn = tape.end()?;

        let message = Message::decode(&bytes).ok_or("our own message does not decode")?;
        let sealed = model::Sealed {
            session,
            message: &message,
            random: &drawn,
            plaintext,
            from: own.party.as_bytes(),
            to: peer.party.as_bytes(),
            prekey: peer.bundle.prekey().compact().as_bytes(),
            kem_prekey: peer.bundle.kem_key().as_bytes(),
        };
        let mut played = self.model.values(&sealed)?;
        let mut put = |name: &str, value: Value| drop(played.insert(name.to_owned(), value));
        put("event", "seal".into());
        put("by", (*by).into());
        put("now_ms", now.as_millis().into());
        put("envelope", hex::encode(envelope.as_bytes()).into());
        put("plaintext", hex::encode(plaintext).into());
        put("random", hex::encode(&drawn).into());
        put("message", hex::encode(&bytes).into());
        self.sealed.push((auth_data, bytes));
        Ok(played)
    }

    fn open(
        &mut self,
        by: usize,
        now: Timestamp,
        number: usize,
        flip_bit: Option<usize>,
    ) -> Result<Map<String, Value>, String> {
        let (own, peer) = (&self.devices[by], &self.devices[1 - by]);
        let (auth_data, bytes) = self.sealed.get(number).ok_or("there is no such message")?;
        let mut bytes = bytes.clone();
        if let Some(bit) = flip_bit {
            *bytes.get_mut(bit / 8).ok_or("there is no such bit")? ^= 1 << (bit % 8);
        }
        let opening = Opening {
            ring: &own.ring,
            from: &peer.party,
            to: &own.party,
            sender: peer.key.verifying_key(),
            envelope: auth_data.envelope,
            sender_handle: &auth_data.sender,
            push_token: Some(own.push_token),
        };
        let mut played = Map::new();
        let mut put = |name: &str, value: Value| drop(played.insert(name.to_owned(), value));
        put("event", "open".into());
        put("by", by.into());
        put("now_ms", now.as_millis().into());
        put("message", number.into());
        if let Some(bit) = flip_bit {
            put("flip_bit", bit.into());
        }
        match self.sessions[by].open(&opening, now, &bytes) {
            Ok(opened) => {
                put("result", "valid".into());
                put("plaintext", hex::encode(opened.plaintext.expose()).into());
                put("skipped", opened.next.skipped().into());
                let first = opened.next.sessions().first().ok_or("no session")?;
                put("preferred", hex::encode(first.id().to_bytes()).into());
                self.sessions[by] = opened.next;
            }
            Err(OpenError::Replayed) => put("result", "replay".into()),
            Err(_) => put("result", "invalid".into()),
        }
        Ok(played)
    }
}

/// Randomness that is read from a file, or made up and written down.
struct Tape {
    recorded: Option<Vec<u8>>,
    label: String,
    blocks: u64,
    drawn: Vec<u8>,
    /// More was asked for than was recorded.
    ran_out: bool,
}

impl Tape {
    fn recorded(bytes: &[u8]) -> Self {
        Self { recorded: Some(bytes.to_vec()), label: String::new(), blocks: 0, drawn: Vec::new(), ran_out: false }
    }

    fn stream(label: &str) -> Self {
        Self { recorded: None, label: label.to_owned(), blocks: 0, drawn: Vec::new(), ran_out: false }
    }

    /// Returns what was drawn. A recording has to be drawn to its end.
    fn end(self) -> Result<Vec<u8>, String> {
        let whole = self.recorded.is_none_or(|recorded| recorded.len() == self.drawn.len());
        if whole && !self.ran_out { Ok(self.drawn) } else { Err("another number of random bytes is drawn".to_owned()) }
    }
}

impl RngCore for Tape {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        match &self.recorded {
            Some(recorded) => match recorded.get(self.drawn.len()..self.drawn.len() + out.len()) {
                Some(bytes) => out.copy_from_slice(bytes),
                None => {
                    // A key that is certainly valid, so that nobody draws for ever.
                    self.ran_out = true;
                    out.fill(1);
                    return;
                }
            },
            None => {
                for chunk in out.chunks_mut(32) {
                    let block = hash::sha256(&[b"pq3 transcript ", self.label.as_bytes(), &self.blocks.to_be_bytes()]);
                    self.blocks += 1;
                    chunk.copy_from_slice(&block[..chunk.len()]);
                }
            }
        }
        self.drawn.extend_from_slice(out);
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), RngError> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for Tape {}
