//! Messages made by hand, by the spec: what somebody can send who has some of the keys, and none of our code.

use halcyon_crypto::{
    AgreementKey, CompactKey, KemPrivate, MlKem768, Secret, Signature, SigningKey, ctr, labels::fixed,
};
use halcyon_suites::pq3::{
    Party, PrekeyBundle,
    kdf::{MessageKey, RootKey},
    wire::{Head, Message},
};
use rand::rngs::StdRng;

use crate::people::{NOW, auth_data};

/// Signs a message for a direction (PQ3-21), over a preimage that is spelled out here, and encodes it.
pub(crate) fn signed(message: &Message, from: &Party, to: &Party, signer: &SigningKey) -> Vec<u8> {
    let part = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let head = &message.head;
    let preimage = [
        &b"messageSignaturev1"[..],
        &part(&message.ciphertext),
        &part(&message.auth_data),
        &message.indicator,
        message.ephemeral.as_bytes(),
        &message.index.to_be_bytes(),
        from.as_bytes(),
        to.as_bytes(),
        &part(head.kem_key.as_deref().unwrap_or_default()),
        &part(head.encap.as_deref().unwrap_or_default()),
        head.prekey_hash.as_ref().map_or(&[], |hash| &hash[..]),
    ];
    Message { signature: signer.sign_raw(&preimage), ..message.clone() }.encode()
}

/// A message with a key that is known, unsigned (PQ3-18, PQ3-19).
pub(crate) fn sealed_with(key: &MessageKey, ephemeral: &CompactKey, index: u32, head: Head, text: &str) -> Message {
    let mut ciphertext = text.as_bytes().to_vec();
    ciphertext.resize(252, 0);
    ciphertext.extend_from_slice(&(252 - text.len() as u32).to_le_bytes());
    let keys = key.content_keys();
    ctr::apply_aes256(&keys.key, keys.counter.expose(), &mut ciphertext);
    Message {
        ciphertext,
        auth_data: auth_data().encode(head.prekey_hash.map(|_| NOW)),
        signature: Signature::from_bytes([0; 64]),
        ephemeral: *ephemeral,
        index,
        indicator: *key.indicator().expose(),
        head,
    }
}

/// A first message to whoever published `bundle`, said to be from `from`, unsigned (PQ3-10).
pub(crate) fn start(rng: &mut StdRng, from: &Party, to: &Party, bundle: &PrekeyBundle, text: &str) -> Message {
    let own = AgreementKey::generate(rng);
    let ecdh: Secret<32> = own.agree(bundle.prekey());
    let (encap, kem) = bundle.kem_key().encapsulate(rng);
    let (prekey, kem_prekey) = (bundle.prekey().compact().as_bytes(), bundle.kem_key().as_bytes());
    let info: [&[u8]; 7] =
        [from.as_bytes(), to.as_bytes(), fixed::PQ3_START, prekey, own.compact().as_bytes(), &encap, kem_prekey];
    let (_, chain) = RootKey::initial().step(&ecdh, Some(&kem), &info);
    let offered = KemPrivate::<MlKem768>::generate(rng).public().as_bytes().to_vec();
    let head = Head { kem_key: Some(offered), encap: Some(encap), prekey_hash: Some(*bundle.hash()) };
    sealed_with(&chain.step().0, own.compact(), 0, head, text)
}
