//! A tablet joins Alice's account, and the server between it and her phone changes what it relays.
//!
//! - What was changed on the way ends the link on one side or the other; what was not, links (LNK-5, LNK-9, LNK-10).
//! - Nobody gets the account key but who was shown the digits that were typed (LNK-6, LNK-7).
//! - The tablet that is linked stands in the list as it described itself, and nothing else in it changed (LNK-8).

use std::sync::LazyLock;

use bytes::Bytes;
use halcyon_directory::{
    CountersignedEntry, DeviceEntry,
    link_approval::{
        Challenge, LinkRequest,
        approver::{Candidate, Typed},
        newcomer::{Approval, Newcomer},
    },
};
use halcyon_types::{DeviceId, PushToken, SuiteId};

use crate::{
    input::Input,
    people::{ALICE, BOB, NOW, rng},
};

/// Relays a link as the bytes say.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let mut relay = Relay { input: &mut input, altered: false };
    let linked = link(&mut relay);
    assert!(linked || relay.altered, "an honest server, and no link");
}

/// The server: each piece passes through it.
struct Relay<'a, 'b> {
    input: &'a mut Input<'b>,
    altered: bool,
}

impl Relay<'_, '_> {
    /// Passes bytes on as they are, or changes, cuts, extends or replaces them.
    fn pass(&mut self, bytes: &[u8]) -> Bytes {
        let mut passed = bytes.to_vec();
        match self.input.byte() {
            1 if !passed.is_empty() => {
                let at = usize::from(self.input.u16()) % passed.len();
                passed[at] ^= self.input.byte();
            }
            2 => passed.truncate(usize::from(self.input.u16())),
            3 => passed.extend_from_slice(self.input.piece()),
            4 => passed = self.input.piece().to_vec(),
            _ => {}
        }
        self.altered |= passed != bytes;
        passed.into()
    }

    fn pass_32(&mut self, bytes: [u8; 32]) -> [u8; 32] {
        let mut passed = bytes;
        if self.input.byte() == 1 {
            let at = self.input.choice(32);
            passed[at] ^= self.input.byte();
        }
        self.altered |= passed != bytes;
        passed
    }

    fn pass_device(&mut self, device: DeviceId) -> DeviceId {
        let passed = match self.input.byte() {
            1 => ALICE.laptop.id(),
            2 => BOB.phone.id(),
            _ => device,
        };
        self.altered |= passed != device;
        passed
    }
}

/// Returns whether the tablet is linked in the end.
fn link(relay: &mut Relay<'_, '_>) -> bool {
    let (phone, list) = (ALICE.phone.id(), &ALICE.list);
    let newcomer = Newcomer::begin(ALICE.account(), TABLET.clone(), &mut rng(1));
    let asked = newcomer.request();
    let asked = LinkRequest {
        entry: relay.pass(&asked.entry),
        entry_signature: relay.pass(&asked.entry_signature),
        ephemeral: relay.pass_32(asked.ephemeral),
        commitment: relay.pass_32(asked.commitment),
    };
    let Ok(candidate) = Candidate::examine(list, phone, &asked) else { return false };
    let (challenged, challenge) = candidate.challenge(&mut rng(2));
    let challenge = Challenge {
        approver: relay.pass_device(challenge.approver),
        ephemeral: relay.pass_32(challenge.ephemeral),
        nonce: relay.pass_32(challenge.nonce),
    };
    let Ok(revealing) = newcomer.challenged(challenge) else { return false };
    let Ok(mut comparing) = challenged.revealed(relay.pass_32(revealing.reveal())) else { return false };

    // The person types what the tablet shows, after up to two slips of the finger.
    let digits = revealing.digits().to_string();
    for _ in 0..relay.input.choice(3) {
        let slip = String::from_utf8_lossy(relay.input.piece()).into_owned();
        if slip.chars().filter(char::is_ascii_digit).eq(digits.chars().filter(char::is_ascii_digit)) {
            continue;
        }
        match comparing.typed(&slip) {
            Typed::Wrong(again) => comparing = again,
            Typed::Approved(_) => {
                // A guess: it takes one in a million, and a server that altered nothing gains nothing by it.
                assert!(relay.altered, "other digits than those shown were taken");
                return false;
            }
            Typed::Ended => panic!("LNK-7: ended before the third wrong try"),
        }
    }
    let Typed::Approved(approved) = comparing.typed(&digits) else { return false };
    let completion = approved.complete(&ALICE.key, list, NOW).expect("the phone is of the account");
    assert_eq!(completion.list.version(), list.version() + 1);
    assert_eq!(completion.list.devices().len(), list.devices().len() + 1, "LNK-8: one device more");

    let altered = relay.altered;
    let approval = Approval {
        device_list: relay.pass(&completion.list.encode()),
        sealed: relay.pass(&completion.sealed),
        push_token: PushToken::from_bytes([7; 32]),
    };
    let Ok(linked) = revealing.approved(&approval) else { return false };
    assert_eq!(linked.account_key.verifying_key(), ALICE.key.verifying_key(), "the account key, and no other");
    assert_eq!(linked.list.device(TABLET.entry().id()), Some(&*TABLET), "LNK-10");
    // Another encoding of the same signed list is the same list; nothing else may differ.
    assert!(
        !altered && linked.list == completion.list && approval.sealed == completion.sealed,
        "LNK-9: altered, and linked"
    );
    true
}

static TABLET: LazyLock<CountersignedEntry> = LazyLock::new(|| {
    let key = halcyon_crypto::SigningKey::generate_compact(&mut rng(300));
    let entry = DeviceEntry::new(key.verifying_key(), "tablet", &[SuiteId::PAIR_EC], None, NOW).unwrap();
    CountersignedEntry::sign(entry, ALICE.account(), &key).unwrap()
});

/// A link that goes well, and one change at each place.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    // How many bytes each piece takes when it is passed as it is, in order: ten pieces, then the slips.
    let mut seeds = vec![vec![], [&[0; 8][..], &[1], &crate::input::piece(b"000000")].concat()];
    for place in 0..8 {
        let mut seed = vec![0; place];
        seed.extend([1, 0, 5, 0x10]);
        seeds.push(seed);
    }
    for place in 9..11 {
        for change in [&[1, 0, 5, 0x10][..], &[2, 0, 9], &[3, 0, 2, 0x18, 0x05], &[4, 0, 1, 9]] {
            seeds.push([&vec![0; place][..], change].concat());
        }
    }
    seeds
}
