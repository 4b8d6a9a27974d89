//! The bare operations on keys that are parsed already: what no implementation of a suite can do without.
//!
//! Owns keys of its own, so that nothing that a suite caches is shared.

use std::hint::black_box;

use halcyon_crypto::{
    AgreementKey, AgreementPublic, KemPrivate, KemPublic, MlKem768, MlKem1024, Secret, Signature, SigningKey, ctr, kdf,
    padding,
};
use rand::rngs::StdRng;

/// What a root step is bound to: parties and elliptic-curve keys, and KEM values of a size.
#[derive(Clone, Copy)]
pub(super) enum Bound {
    Keys,
    Kem768,
    Kem1024,
}

pub(super) struct Primitives {
    private: AgreementKey,
    public: AgreementPublic,
    signing: SigningKey,
    signature: Signature,
    kem_1024: KemPrivate<MlKem1024>,
    kem_1024_public: KemPublic<MlKem1024>,
    encap_1024: Vec<u8>,
    kem_768: KemPrivate<MlKem768>,
    kem_768_public: KemPublic<MlKem768>,
    encap_768: Vec<u8>,
    content: Vec<u8>,
    chain: [u8; 32],
}

impl Primitives {
    /// For a plaintext of `bytes`.
    pub(super) fn new(rng: &mut StdRng, bytes: usize) -> anyhow::Result<Self> {
        let signing = SigningKey::generate_compact(rng);
        let content = vec![0; padding::padded_len(bytes + 4)];
        let (kem_1024, kem_768) = (KemPrivate::<MlKem1024>::generate(rng), KemPrivate::<MlKem768>::generate(rng));
        let (kem_1024_public, kem_768_public) = (kem_1024.public(), kem_768.public());
        let (encap_1024, encap_768) = (kem_1024_public.encapsulate(rng).0, kem_768_public.encapsulate(rng).0);
        Ok(Self {
            private: AgreementKey::generate(rng),
            public: AgreementPublic::from_compact(AgreementKey::generate(rng).compact())?,
            signature: signing.sign_raw(&[&content]),
            signing,
            kem_1024,
            kem_1024_public,
            encap_1024,
            kem_768,
            kem_768_public,
            encap_768,
            content,
            chain: [7; 32],
        })
    }

    pub(super) fn sign(&self) {
        black_box(self.signing.sign_raw(&[&self.content]));
    }

    pub(super) fn verify(&self) {
        let _ = black_box(self.signing.verifying_key().verify_raw(&[&self.content], &self.signature));
    }

    pub(super) fn agree(&self) {
        black_box(self.private.agree(&self.public));
    }

    /// A fresh key pair and an agreement with it.
    pub(super) fn fresh_agree(&self, rng: &mut StdRng) {
        black_box(AgreementKey::generate(rng).agree(&self.public));
    }

    pub(super) fn encapsulate_1024(&self, rng: &mut StdRng) {
        black_box(self.kem_1024_public.encapsulate(rng));
    }

    pub(super) fn decapsulate_1024(&self) {
        let _ = black_box(self.kem_1024.decapsulate(&self.encap_1024));
    }

    pub(super) fn generate_768(&self, rng: &mut StdRng) {
        black_box(KemPrivate::<MlKem768>::generate(rng).public());
    }

    pub(super) fn encapsulate_768(&self, rng: &mut StdRng) {
        black_box(self.kem_768_public.encapsulate(rng));
    }

    pub(super) fn decapsulate_768(&self) {
        let _ = black_box(self.kem_768.decapsulate(&self.encap_768));
    }

    /// The symmetric part of one `pq3` message: two chain expansions, the indicator, the content keys, AES-256-CTR.
    pub(super) fn symmetric(&mut self) {
        let message = kdf::hkdf_sha384_expand::<32>(&self.chain, &[b"message"]);
        black_box(kdf::hkdf_sha384_expand::<32>(&self.chain, &[b"chain"]));
        black_box(kdf::hkdf_sha384_expand::<32>(message.expose(), &[b"indicator"]));
        let okm = kdf::hkdf_sha384_expand::<48>(message.expose(), &[b"content"]);
        self.encrypt(&okm);
    }

    /// The root step of a start or a change of direction, over the public values that it is bound to (SUI-10): an
    /// encapsulation and the key that it is to are hashed twice.
    pub(super) fn root_step(&self, bound: Bound) {
        let public: &[u8] = match bound {
            Bound::Keys => &[0; 200],
            Bound::Kem768 => &[0; 200 + 1088 + 1184],
            Bound::Kem1024 => &[0; 200 + 1568 + 1568],
        };
        let first = kdf::hkdf_sha384_extract(&self.chain, &self.chain);
        let second = kdf::hkdf_sha384_extract(&self.chain, first.expose());
        black_box(kdf::hkdf_sha384_expand::<64>(second.expose(), &[b"root", public]));
    }

    /// The symmetric part of one `pair-ec` message.
    pub(super) fn symmetric_pair_ec(&mut self) {
        let okm = kdf::hkdf_sha256::<48>(b"salt", &self.chain, &[]);
        self.encrypt(&okm);
    }

    fn encrypt(&mut self, okm: &Secret<48>) {
        let key = Secret::fill_with(|key: &mut [u8; 32]| key.copy_from_slice(&okm.expose()[..32]));
        ctr::apply_aes256(&key, &[0; 16], black_box(&mut self.content));
    }
}
