//! The domain matrix: every signed or keyed structure of the system, all made with one private key and one secret, each
//! fed to every verifier. Only the diagonal accepts.
//!
//! One table, [`rows`]. A string of `labels.rs` that no row names fails [`every_label_has_a_row`]. Where the verifier is not
//! public (the server's counters and codes, the client's sealed files), its row is the same call with the same parts.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use halcyon_content::{
    Content, ConversationMembers, Kind,
    group::{Change, GroupLog, GroupName, GroupRef, Member, Op, SignedChange, group_conversation},
};
use halcyon_courier::{
    ClientFrame, Grant, Limits, ServerFrame, Topics,
    connect::{ChannelBinding, Connect, Handshake, Hello, Introduction},
    wire as courier_wire,
};
use halcyon_crypto::{
    AgreementKey, AgreementPublic, Label, Secret, Signature, SigningKey,
    commit::Commitment,
    kdf::{self, hkdf_sha256, hmac_sha256, labelled_hash, labelled_key, labelled_mac},
    labels::fixed,
    p256::legacy::LegacySigningKey,
    rsa::RsaPrivateKey,
};
use halcyon_directory::{
    CountersignedEntry, DeviceEntry, SignedList, account_id, device_id,
    prekeys::{self, Prekey},
    query::QueryKey,
    report::{Report, SignedReport},
    request::{HEADER_SIGNATURE, RequestTarget, SignedRequest},
    session::SessionKey,
    wire::SignedReport as SignedReportWire,
};
use halcyon_suites::{
    Session, Suite,
    pair::PairKeys,
    pair_ec::SignedPrekey,
    pq3::{PrekeyBundle, wire},
};
use halcyon_types::{AccountId, DeviceId, GroupHash, GroupId, Handle, MessageId, SuiteId};
use prost::Message;
use rand::{SeedableRng, rngs::StdRng};

use crate::people::{Device, NOW, alice_bob_eve};

/// What a row's bytes are made for: strings of `labels.rs`, or none, where the format of others has none.
enum Domain {
    Label(Label),
    Fixed(&'static [u8]),
    None,
}

/// One structure.
struct Row {
    name: &'static str,
    domain: Domain,
    /// The signature, MAC, hash or derived key that an honest party makes.
    made: Vec<u8>,
    /// The honest structure's verifier, given another tag in place of its own.
    accepts: Verifier,
}

type Verifier = Box<dyn Fn(&[u8]) -> bool>;

fn row(name: &'static str, domain: Domain, made: &[u8], accepts: impl Fn(&[u8]) -> bool + 'static) -> Row {
    Row { name, domain, made: made.to_vec(), accepts: Box::new(accepts) }
}

/// The secret that stands for every symmetric one: the server's keys, a data key, a device secret.
fn secret() -> Secret<32> {
    Secret::fill_with(|bytes| *bytes = [7; 32])
}

const PARTS: [&[u8]; 2] = [b"one", b"two"];

/// A row whose verifier compares what is derived.
fn derived(name: &'static str, domain: Domain, make: impl Fn() -> Vec<u8> + 'static) -> Row {
    let made = make();
    row(name, domain, &made, move |tag| make() == tag)
}

fn rows() -> Vec<Row> {
    let mut rows = signed_by_the_device();
    rows.extend(of_the_suites());
    rows.extend(keyed());
    rows
}

/// The change that begins a group.
fn group_create(key: &SigningKey) -> SignedChange {
    let member = |n: u8| Member {
        account: AccountId::from_bytes([n; 16]),
        handle: Handle::parse(&format!("m{n}@example.org")).unwrap(),
    };
    let change = Change {
        group: None,
        parents: Vec::new(),
        author: Handle::parse("alice@example.org").unwrap(),
        device: DeviceId::from_bytes([1; 16]),
        made: NOW,
        nonce: [3; 16],
        op: Op::Create { name: GroupName::default(), members: vec![member(2), member(3)] },
    };
    SignedChange::sign(change, key).unwrap()
}

fn group_log() -> GroupLog {
    let (alice, ..) = alice_bob_eve();
    GroupLog::begin(group_create(&alice.keys.device).verify().unwrap()).unwrap()
}

/// What the one private key signs outside of the suites: as account key, as device key.
fn signed_by_the_device() -> Vec<Row> {
    let (alice, ..) = alice_bob_eve();
    let key: SigningKey = alice.keys.device.clone();
    let public = key.verifying_key().clone();
    let (account, device) = (account_id(public.compact()), device_id(public.compact()));

    let entry = DeviceEntry::new(&public, "phone", &[SuiteId::PAIR_EC], None, NOW).unwrap();
    let entry = CountersignedEntry::sign(entry, account, &key).unwrap();
    let list = SignedList::first(&key, entry.clone(), NOW).unwrap();
    let (entry_bytes, list_bytes) = (entry.bytes().clone(), list.bytes().clone());

    let hello = Hello { nonce: [3; 32], server_time: NOW };
    let binding = ChannelBinding::Exporter([4; 32]);
    let phone = Introduction { device, epoch: 7, topics: Topics::messages_and_alerts() };
    let connect = Connect::sign(phone.clone(), &key, "example.org", &hello, &binding, NOW);
    let connect = ClientFrame::Connect(connect).encode();
    let connect_key = public.clone();
    let verify_connect = move |tag: &[u8]| {
        let mut frame = courier_wire::Frame::decode(connect.clone()).unwrap();
        let Some(courier_wire::frame::Body::Connect(connect)) = &mut frame.body else { unreachable!() };
        connect.signature = Bytes::copy_from_slice(tag);
        let Ok(frame) = ClientFrame::decode(frame.encode_to_vec().into()) else { return false };
        // A generator that gives the nonce that was signed.
        let (handshake, _) = Handshake::begin("example.org".into(), binding, &Limits::default(), NOW, &mut Constant(3));
        handshake.connect(frame, NOW).is_ok_and(|claim| claim.verify(Some(&connect_key)).is_ok())
    };
    let connect_signature = Connect::sign(phone, &key, "example.org", &hello, &binding, NOW);
    let made_connect = connect_tag(connect_signature);

    let (granted_to, grant_signer) = (key.clone(), public.clone());
    let grant = Grant::sign(device, &key, &public, NOW).to_bytes();
    let verify_grant = move |tag: &[u8]| {
        let Some(grant) = Grant::from_bytes(&[&grant[..40], tag].concat()) else { return false };
        let whom = (device, Topics::messages_and_alerts());
        let (handshake, hello) =
            Handshake::begin("h".into(), ChannelBinding::None, &Limits::default(), NOW, &mut Constant(3));
        let ServerFrame::Hello(hello) = hello else { unreachable!() };
        let connect = Connect::sign_granted(whom, (grant, &granted_to), "h", &hello, &ChannelBinding::None, NOW);
        let claim = handshake.connect(ClientFrame::Connect(connect), NOW);
        claim.is_ok_and(|claim| claim.verify(Some(&grant_signer)).is_ok())
    };
    let made_grant = Grant::sign(device, &key, &public, NOW).to_bytes()[40..].to_vec();

    let target = RequestTarget { method: "POST", path_and_query: "/v1/devices", body: b"body" };
    let request = SignedRequest::sign(device, &key, "example.org", target, NOW, &mut Constant(5));
    let headers = request.headers();
    let header =
        |name: &str, headers: &[(&'static str, String)]| headers.iter().find(|h| h.0 == name).unwrap().1.clone();
    let made_request = STANDARD.decode(header(HEADER_SIGNATURE, &headers)).unwrap();
    let request_key = public.clone();
    let verify_request = move |tag: &[u8]| {
        let signature = STANDARD.encode(tag);
        let find = |name: &str| match name {
            HEADER_SIGNATURE => Some(signature.as_str()),
            _ => headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str()),
        };
        let Ok(request) = SignedRequest::from_headers(find) else { return false };
        request.verify(Some(&request_key), "example.org", target, NOW).is_ok()
    };

    let create = group_create(&key);
    let reference = GroupRef { id: create.group(), hash: GroupHash::from_bytes([0; 16]) };
    let told = Content {
        message_id: MessageId::from_bytes([1; 16]),
        sent: NOW,
        members: ConversationMembers::in_group(create.change().author.clone(), reference),
        kind: Kind::GroupChange(Box::new(create)),
        place: None,
    };
    let told = halcyon_content::wire::Content::decode(&halcyon_content::encode(&told).unwrap()[..]).unwrap();
    let Some(halcyon_content::wire::content::Kind::GroupChange(signed)) = told.kind.clone() else { unreachable!() };
    let group_change = signed.signature.to_vec();
    let read_change = move |tag: &[u8]| {
        let (mut told, mut signed) = (told.clone(), signed.clone());
        signed.signature = Bytes::copy_from_slice(tag);
        told.kind = Some(halcyon_content::wire::content::Kind::GroupChange(signed));
        halcyon_content::decode(&told.encode_to_vec())
    };

    let report = SignedReport::sign(report(account, device), &key).unwrap().encode();
    let report_key = public.clone();
    let made_report = SignedReportWire::decode(report.clone()).unwrap().signature;
    let verify_report = move |tag: &[u8]| {
        let mut wire = SignedReportWire::decode(report.clone()).unwrap();
        wire.signature = Bytes::copy_from_slice(tag);
        SignedReport::verify(wire.encode_to_vec().into(), &report_key).is_ok()
    };

    vec![
        row("device list", Domain::Label(Label::DeviceList), &list.to_wire().signature, move |tag| {
            SignedList::verify(list_bytes.clone(), tag).is_ok()
        }),
        row("counter-signed entry", Domain::Label(Label::DeviceEntry), entry.signature().as_bytes(), move |tag| {
            CountersignedEntry::verify(account, entry_bytes.clone(), tag).is_ok()
        }),
        row("group change", Domain::Label(Label::GroupChange), &group_change, move |tag| {
            let Ok(Kind::GroupChange(change)) = read_change(tag).map(|content| content.kind) else { return false };
            change.verify().is_some()
        }),
        row("courier connect", Domain::Label(Label::CourierConnect), &made_connect, verify_connect),
        row("courier grant", Domain::Label(Label::CourierGrant), &made_grant, verify_grant),
        row("signed request", Domain::Label(Label::Request), &made_request, verify_request),
        row("report", Domain::Label(Label::Report), &made_report, verify_report),
    ]
}

fn report(account: AccountId, device: DeviceId) -> Report {
    Report {
        account,
        device,
        reported: NOW,
        note: "look".to_owned(),
        message: MessageId::from_bytes([1; 16]),
        sender: Handle::parse("mallory@example.org").unwrap(),
        sender_account: AccountId::from_bytes([2; 16]),
        sender_device: DeviceId::from_bytes([3; 16]),
        recipient: None,
        suite: Some(SuiteId::PQ3),
        sent: NOW,
        received: NOW,
        subject: String::new(),
        parts: Vec::new(),
    }
}

fn connect_tag(connect: Connect) -> Vec<u8> {
    let frame = courier_wire::Frame::decode(ClientFrame::Connect(connect).encode()).unwrap();
    let Some(courier_wire::frame::Body::Connect(connect)) = frame.body else { unreachable!() };
    connect.signature.to_vec()
}

/// Always the same byte.
struct Constant(u8);

impl halcyon_crypto::RngCore for Constant {
    fn next_u32(&mut self) -> u32 {
        u32::from_be_bytes([self.0; 4])
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_be_bytes([self.0; 8])
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        out.fill(self.0);
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), halcyon_crypto::rng::RngError> {
        out.fill(self.0);
        Ok(())
    }
}

impl halcyon_crypto::CryptoRng for Constant {}

/// Where a prekey record and a message of 256 bytes have their signatures.
const RECORD_SIGNATURE: std::ops::Range<usize> = 36..100;
const MESSAGE_SIGNATURE: std::ops::Range<usize> = 295..359;

/// Prekeys and messages, signed with the same private key; `pair` gets it too, though it has its own in life (PAIR-1).
fn of_the_suites() -> Vec<Row> {
    let (mut alice, bob, _) = alice_bob_eve();
    let public = alice.keys.device.verifying_key().clone();
    let record = alice.keys.prekeys.record().to_vec();
    let (client_record, server_record, server_key) = (record.clone(), record.clone(), public.clone());
    let replaced = |bytes: &[u8], at: std::ops::Range<usize>, tag: &[u8]| {
        (tag.len() == at.len()).then(|| [&bytes[..at.start], tag, &bytes[at.end..]].concat())
    };

    let (sealed, _) = alice.seal(Session::default(), Suite::PairEc, &bob.public(), b"x");
    let (made_message, from_alice, bob_ec) = (sealed[MESSAGE_SIGNATURE].to_vec(), alice.public(), Device::new(2));

    let scalar = alice.keys.device.to_secret();
    let rsa = RsaPrivateKey::generate(&mut StdRng::seed_from_u64(1));
    let pair = PairKeys::from_keys(rsa, LegacySigningKey::from_secret(scalar).unwrap());
    let to_bob = bob.keys.pair.as_ref().unwrap().identity().clone();
    let framed = pair.seal(&mut StdRng::seed_from_u64(2), &to_bob, b"x").unwrap();
    let body_end = 3 + usize::from(u16::from_be_bytes([framed[1], framed[2]]));
    let made_pair = raw_of_der(&framed[body_end + 1..]);
    let identity = pair.identity().clone();

    let of_pq3 = of_pq3();

    let mut rows = vec![
        row(
            "prekey record, to a client",
            Domain::Fixed(fixed::PAIR_EC_PREKEY),
            &record[RECORD_SIGNATURE],
            move |tag| {
                replaced(&client_record, RECORD_SIGNATURE, tag)
                    .is_some_and(|record| SignedPrekey::verify(&record, &public).is_ok())
            },
        ),
        row(
            "prekey record, to the server",
            Domain::Fixed(fixed::PAIR_EC_PREKEY),
            &record[RECORD_SIGNATURE],
            move |tag| {
                let Some(record) = replaced(&server_record, RECORD_SIGNATURE, tag) else { return false };
                prekeys::check(&server_key, &Prekey { suite: SuiteId::PAIR_EC, record: record.into() }).is_ok()
            },
        ),
        // Its preimage begins with a fresh secret coordinate, which nobody can choose (PEC-11).
        row("pair-ec message", Domain::None, &made_message, move |tag| {
            replaced(&sealed, MESSAGE_SIGNATURE, tag)
                .is_some_and(|sealed| bob_ec.open(&Session::default(), Suite::PairEc, &from_alice, &sealed).is_ok())
        }),
        // Over SHA-1, so that its digest is none of the others' (PAIR-9).
        row("pair message", Domain::None, &made_pair, move |tag| {
            let Some(der) = der_of_raw(tag) else { return false };
            let framed = [&framed[..body_end], &[der.len() as u8], &der].concat();
            bob.keys.pair.as_ref().unwrap().open(&identity, &framed).is_ok()
        }),
    ];
    rows.extend(of_pq3);
    rows
}

/// Bundle and message of `pq3`, with their real readers: client, server, and the session that opens.
fn of_pq3() -> Vec<Row> {
    let (mut alice, bob, _) = alice_bob_eve();
    let public = alice.keys.device.verifying_key().clone();
    let bundle = alice.keys.pq3.as_ref().unwrap().record().to_vec();
    // The signature is a bundle's last field.
    let (fields, made) = bundle.split_at(bundle.len() - 64);
    let (made, fields) = (made.to_vec(), fields.to_vec());
    let (client_fields, server_fields, server_key) = (fields.clone(), fields, public.clone());
    let (sealed, _) = alice.seal(Session::default(), Suite::Pq3, &bob.public(), b"x");
    let message = wire::Message::decode(&sealed).unwrap();
    let (signature, from_alice) = (message.signature, alice.public());
    vec![
        row("prekey record of pq3, to a client", Domain::Fixed(fixed::PQ3_PREKEY), &made, move |tag| {
            tag.len() == 64 && PrekeyBundle::verify(&[&client_fields, tag].concat(), &public).is_ok()
        }),
        row("prekey record of pq3, to the server", Domain::Fixed(fixed::PQ3_PREKEY), &made, move |tag| {
            let record = [&server_fields, tag].concat().into();
            tag.len() == 64 && prekeys::check(&server_key, &Prekey { suite: SuiteId::PQ3, record }).is_ok()
        }),
        row("pq3 message", Domain::Fixed(fixed::PQ3_MESSAGE), signature.as_bytes(), move |tag| {
            let Ok(signature) = Signature::try_from(tag) else { return false };
            let sealed = wire::Message { signature, ..message.clone() }.encode();
            bob.open(&Session::default(), Suite::Pq3, &from_alice, &sealed).is_ok()
        }),
    ]
}

fn raw_of_der(der: &[u8]) -> Vec<u8> {
    let fixed = |integer: &[u8]| {
        let significant = &integer[usize::from(integer[0] == 0)..];
        [&vec![0; 32 - significant.len()][..], significant].concat()
    };
    let r_end = 4 + usize::from(der[3]);
    [fixed(&der[4..r_end]), fixed(&der[r_end + 2..])].concat()
}

fn der_of_raw(raw: &[u8]) -> Option<Vec<u8>> {
    let integer = |number: &[u8]| {
        let significant = &number[number.iter().take_while(|byte| **byte == 0).count().min(31)..];
        let zero: &[u8] = if significant[0] >= 0x80 { &[0] } else { &[] };
        [&[2, (zero.len() + significant.len()) as u8], zero, significant].concat()
    };
    let (r, s) = (raw.len() == 64).then(|| raw.split_at(32))?;
    let content = [integer(r), integer(s)].concat();
    Some([&[0x30, content.len() as u8], &content[..]].concat())
}

/// MACs, hashes and derived keys, all under the one secret.
fn keyed() -> Vec<Row> {
    let (alice, bob) = (AccountId::from_bytes([0xa1; 16]), AccountId::from_bytes([0xb0; 16]));
    let bobs_handle = Handle::parse("bob@example.org").unwrap();
    let sessions = SessionKey::from_secret(secret());
    let token = *sessions.mint(alice, bob, NOW).token.as_bytes();
    let log = QueryKey::from_secret(secret());
    let commitment = Commitment::to(Label::ApprovalCommit, &PARTS, &secret());
    let (ours, theirs) = (agreement(1), agreement(2));
    let agreed = ours.agree(&AgreementPublic::from_compact(theirs.compact()).unwrap());
    let key = halcyon_crypto::CompactKey::from_bytes([7; 32]);

    let mut rows = vec![
        row("session token", Domain::Label(Label::SessionToken), &token[8..], move |tag| {
            sessions.check(&[&token[..8], tag].concat(), alice, bob, NOW).is_ok()
        }),
        derived("query record", Domain::Label(Label::QueryLog), move || {
            log.record(alice, &bobs_handle, NOW).mac.to_vec()
        }),
        row("approval commitment", Domain::Label(Label::ApprovalCommit), commitment.as_bytes(), |tag| {
            tag.try_into()
                .is_ok_and(|tag| Commitment::from_bytes(tag).opens_with(Label::ApprovalCommit, &PARTS, &secret()))
        }),
        derived("approval transcript", Domain::Label(Label::ApprovalSas), || {
            labelled_hash(Label::ApprovalSas, &[PARTS[0], PARTS[1], secret().expose()]).to_vec()
        }),
        derived("account key transfer", Domain::Label(Label::AccountKeyTransfer), move || {
            hkdf_sha256::<32>(&[9; 32], agreed.expose(), &[Label::AccountKeyTransfer.as_bytes()]).expose().to_vec()
        }),
        derived("profile key wrap", Domain::Label(Label::ProfileKeyWrap), move || {
            let agreed = agreement(1).agree(&AgreementPublic::from_compact(agreement(2).compact()).unwrap());
            hkdf_sha256::<32>(&[9; 32], agreed.expose(), &[Label::ProfileKeyWrap.as_bytes()]).expose().to_vec()
        }),
        derived("account id", Domain::Label(Label::AccountId), move || account_id(&key).as_bytes().to_vec()),
        derived("device id", Domain::Label(Label::DeviceId), move || device_id(&key).as_bytes().to_vec()),
        derived("conversation id", Domain::Label(Label::ConversationId), || {
            let handle = |name: &str| Handle::parse(name).unwrap();
            let members = [handle("bob@example.org")].to_vec();
            let members = halcyon_content::ConversationMembers::new(handle("alice@example.org"), members).unwrap();
            members.id().as_bytes().to_vec()
        }),
        derived("group conversation", Domain::Label(Label::GroupConversation), || {
            group_conversation(GroupId::from_bytes([7; 16])).as_bytes().to_vec()
        }),
        derived("group id", Domain::Label(Label::GroupId), || group_log().group().as_bytes().to_vec()),
        derived("group change id", Domain::Label(Label::GroupChangeId), || {
            group_log().beginning().id().as_bytes().to_vec()
        }),
        derived("safety code", Domain::Label(Label::SafetyCode), || {
            labelled_hash(Label::SafetyCode, &[PARTS[0], PARTS[1], secret().expose()]).to_vec()
        }),
        derived("group hash", Domain::Label(Label::GroupHash), || group_log().hash().as_bytes().to_vec()),
        derived("pages of the client's store", Domain::Label(Label::ClientStore), || {
            labelled_key(Label::ClientStore, &secret(), &PARTS).expose().to_vec()
        }),
        derived("keys of a keychain's items", Domain::Label(Label::KeychainItem), || {
            labelled_key(Label::KeychainItem, &secret(), &PARTS).expose().to_vec()
        }),
        derived("keybag of the device", Domain::Label(Label::Keybag), || {
            labelled_key(Label::Keybag, &secret(), &PARTS).expose().to_vec()
        }),
        derived("what of a keychain may leave", Domain::Label(Label::KeychainPortable), || {
            labelled_key(Label::KeychainPortable, &secret(), &PARTS).expose().to_vec()
        }),
    ];
    for (name, label) in [
        ("emailed code", Label::EmailVerification),
        ("count against a limit", Label::RateLimit),
        ("an unknown handle's identifier", Label::UnknownHandle),
        ("check of the device secret", Label::DeviceSecretCheck),
    ] {
        let made = labelled_mac(label, &secret(), &PARTS).into_public();
        rows.push(row(name, Domain::Label(label), &made, move |tag| labelled_mac(label, &secret(), &PARTS).ct_eq(tag)));
    }
    for (name, info) in [
        ("pq3 root", fixed::PQ3_ROOT),
        ("pq3 message key", fixed::PQ3_MESSAGE_KEY),
        ("pq3 chain key", fixed::PQ3_CHAIN_KEY),
        ("pq3 indicator", fixed::PQ3_INDICATOR),
        ("pq3 content", fixed::PQ3_CONTENT),
    ] {
        rows.push(derived(name, Domain::Fixed(info), move || {
            kdf::hkdf_sha384_expand::<32>(secret().expose(), &[info]).expose().to_vec()
        }));
    }
    // These two stand inside of the root step's info (PQ3-10, PQ3-12).
    for (name, kind) in [("pq3 start", fixed::PQ3_START), ("pq3 change of direction", fixed::PQ3_RATCHET)] {
        rows.push(derived(name, Domain::Fixed(kind), move || {
            let info: [&[u8]; 3] = [fixed::PQ3_ROOT, PARTS[0], kind];
            kdf::hkdf_sha384_expand::<32>(secret().expose(), &info).expose().to_vec()
        }));
    }
    for (name, salt) in [
        ("pair-ec message keys", fixed::PAIR_EC_MESSAGE_KEYS),
        ("rejected RSA blocks", fixed::RSA_REJECTION),
        ("context of the password protocol", fixed::OPAQUE_CONTEXT),
    ] {
        rows.push(derived(name, Domain::Fixed(salt), move || {
            hmac_sha256(salt, &[secret().expose()]).expose().to_vec()
        }));
    }
    rows
}

fn agreement(byte: u8) -> AgreementKey {
    AgreementKey::from_secret(Secret::fill_with(|bytes| *bytes = [byte; 32])).unwrap()
}

/// IDN-11, DIR-2, DIR-3, DIR-30, COU-11, ACC-1, PEC-3, PEC-11, PQ3-5, PQ3-21: what was made for one purpose is accepted for no other, though
/// all of it was made with the same keys.
#[test]
fn only_the_diagonal_accepts() {
    let rows = rows();
    for made in &rows {
        for read in &rows {
            // The two readers of one record accept the same.
            let same = made.name == read.name || made.made == read.made;
            assert_eq!((read.accepts)(&made.made), same, "{} read as {}", made.name, read.name);
        }
        let twins = rows.iter().filter(|other| other.made == made.made).count();
        let expected = if made.name.starts_with("prekey record") { 2 } else { 1 };
        assert_eq!(twins, expected, "{}: made the same as another", made.name);
    }
}

/// IDN-11: a label without a row is a structure that nobody tried to confuse.
#[test]
fn every_label_has_a_row() {
    let rows = rows();
    for label in Label::ALL {
        let has = rows.iter().any(|row| matches!(row.domain, Domain::Label(of) if of == label));
        assert!(has, "{label:?} has no row in the domain matrix");
    }
    for bytes in fixed::ALL {
        let has = rows.iter().any(|row| matches!(row.domain, Domain::Fixed(of) if of == bytes));
        assert!(has, "{:?} has no row in the domain matrix", String::from_utf8_lossy(bytes));
    }
    let unlabelled: Vec<&str> =
        rows.iter().filter(|row| matches!(row.domain, Domain::None)).map(|row| row.name).collect();
    assert_eq!(unlabelled, ["pair-ec message", "pair message"], "new structures have labels");
}

/// Whole structures to every reader of bytes: a list read as an entry, an entry as a connect, a message as a prekey.
#[test]
fn no_structure_is_read_as_another() {
    let (mut alice, bob, _) = alice_bob_eve();
    let key = alice.keys.device.clone();
    let public = key.verifying_key().clone();
    let account = account_id(public.compact());
    let entry = DeviceEntry::new(&public, "phone", &[SuiteId::PAIR_EC], None, NOW).unwrap();
    let entry = CountersignedEntry::sign(entry, account, &key).unwrap();
    let list = SignedList::first(&key, entry.clone(), NOW).unwrap();
    let device = device_id(public.compact());
    let hello = Hello { nonce: [3; 32], server_time: NOW };
    let phone = Introduction { device, epoch: 7, topics: Topics::messages_and_alerts() };
    let connect = Connect::sign(phone, &key, "h", &hello, &ChannelBinding::None, NOW);
    let entry_signature = *entry.signature().as_bytes();
    let record = alice.keys.prekeys.record().to_vec();
    let (ec, _) = alice.seal(Session::default(), Suite::PairEc, &bob.public(), b"x");
    let (pair, _) = alice.seal(Session::default(), Suite::Pair, &bob.public(), b"x");
    let (pq3, _) = alice.seal(Session::default(), Suite::Pq3, &bob.public(), b"x");
    let bundle = alice.keys.pq3.as_ref().unwrap().record().to_vec();
    let from_alice = alice.public();
    let sessions = SessionKey::from_secret(secret());
    let token = sessions.mint(account, account, NOW).token.as_bytes().to_vec();

    let report = SignedReport::sign(report(account, device), &key).unwrap().encode().to_vec();

    type Reader<'a> = Box<dyn Fn(&[u8]) -> bool + 'a>;
    let structures: [(&str, Vec<u8>, Reader<'_>); 10] = [
        ("report", report, Box::new(|bytes| SignedReport::verify(Bytes::copy_from_slice(bytes), &public).is_ok())),
        ("list", list.encode().to_vec(), Box::new(|bytes| SignedList::decode(Bytes::copy_from_slice(bytes)).is_ok())),
        (
            "entry",
            entry.bytes().to_vec(),
            Box::new(|bytes| {
                CountersignedEntry::verify(account, Bytes::copy_from_slice(bytes), &entry_signature).is_ok()
            }),
        ),
        (
            "connect",
            ClientFrame::Connect(connect).encode().to_vec(),
            Box::new(|bytes| ClientFrame::decode(Bytes::copy_from_slice(bytes)).is_ok()),
        ),
        ("prekey", record, Box::new(|bytes| SignedPrekey::verify(bytes, &public).is_ok())),
        ("pair-ec", ec, Box::new(|bytes| bob.open(&Session::default(), Suite::PairEc, &from_alice, bytes).is_ok())),
        ("bundle", bundle, Box::new(|bytes| PrekeyBundle::verify(bytes, &public).is_ok())),
        ("pq3", pq3, Box::new(|bytes| bob.open(&Session::default(), Suite::Pq3, &from_alice, bytes).is_ok())),
        ("pair", pair, Box::new(|bytes| bob.open(&Session::default(), Suite::Pair, &from_alice, bytes).is_ok())),
        ("token", token, Box::new(|bytes| sessions.check(bytes, account, account, NOW).is_ok())),
    ];
    for (made, bytes, _) in &structures {
        for (read, _, reads) in &structures {
            assert_eq!(reads(bytes), made == read, "{made} read as {read}");
        }
    }
}
