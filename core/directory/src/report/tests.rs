use halcyon_crypto::VerifyingKey;

use super::*;
use crate::{ids::device_id, testing::NOW, testing::fixed_key};

fn report(key: &VerifyingKey) -> Report {
    Report {
        account: AccountId::from_bytes([0xa1; 16]),
        device: device_id(key.compact()),
        reported: NOW,
        note: "this is the third time".into(),
        message: MessageId::from_bytes([3; 16]),
        sender: Handle::parse("mallory@example.org").unwrap(),
        sender_account: AccountId::from_bytes([4; 16]),
        sender_device: DeviceId::from_bytes([5; 16]),
        recipient: Some(Handle::parse("alice@example.org").unwrap()),
        suite: Some(SuiteId::PQ3),
        sent: Timestamp::from_millis(NOW.as_millis() - 2_000),
        received: Timestamp::from_millis(NOW.as_millis() - 1_000),
        subject: String::new(),
        parts: vec![ReportedPart { kind: "text".into(), text: "worse".into(), earlier: vec!["bad".into()] }],
    }
}

/// ACC-60: what was signed is what is read, byte for byte; the bytes are pinned, since operators keep them.
#[test]
fn a_report_says_what_was_signed() {
    let key = fixed_key(7);
    let made = report(key.verifying_key());
    let signed = SignedReport::sign(made.clone(), &key).unwrap();
    let read = SignedReport::verify(signed.encode(), key.verifying_key()).unwrap();
    assert_eq!((read.report(), &read), (&made, &signed));
    assert_eq!(read.encode(), signed.encode());
    let hash: String = halcyon_crypto::hash::sha256(&[&read.bytes]).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, "ced4703a78ffd2aee01587318bd3ca191a9449a8dc59c83f23b8ca7b85a76ae2");
    assert_eq!(format!("{read:?}"), format!("SignedReport({}, redacted)", made.message), "I9");
    assert_eq!(format!("{:?}", made.parts), "[ReportedPart(redacted)]");
}

/// ACC-60: no other device's signature, and nothing but what was signed; a signature made for something else is none.
#[test]
fn a_report_of_somebody_else_is_refused() {
    let (key, other) = (fixed_key(7), fixed_key(9));
    let signed = SignedReport::sign(report(key.verifying_key()), &key).unwrap();
    assert_eq!(SignedReport::verify(signed.encode(), other.verifying_key()), Err(ReportError::Unsigned));
    let rewritten = Report { note: "nothing".into(), ..signed.report().clone() };
    let forged = SignedReport { bytes: rewritten.to_wire().encode_to_vec().into(), ..signed.clone() };
    assert_eq!(SignedReport::verify(forged.encode(), key.verifying_key()), Err(ReportError::Unsigned));
    let relabelled = SignedReport { signature: key.sign(Label::Request, &[&signed.bytes]), ..signed };
    assert_eq!(SignedReport::verify(relabelled.encode(), key.verifying_key()), Err(ReportError::Unsigned));
}

/// ACC-60: every limit, at it and past it, at who makes a report and at who gets it.
#[test]
fn every_field_is_limited() {
    let key = fixed_key(7);
    let made = report(key.verifying_key());
    let tried = |change: &dyn Fn(&mut Report)| {
        let mut report = made.clone();
        change(&mut report);
        let bytes = Bytes::from(report.to_wire().encode_to_vec());
        let signature = key.sign(Label::Report, &[&bytes]);
        let got = SignedReport { report: made.clone(), bytes, signature }.encode();
        let (made, got) =
            (SignedReport::sign(report, &key).map(drop), SignedReport::verify(got, key.verifying_key()).map(drop));
        assert_eq!(made, got);
        got
    };
    let part = || made.parts[0].clone();
    assert_eq!(tried(&|report| report.note = "n".repeat(NOTE_BYTES_MAX)), Ok(()));
    assert_eq!(tried(&|report| report.note = "n".repeat(NOTE_BYTES_MAX + 1)), Err(ReportError::TooLarge));
    assert_eq!(tried(&|report| report.parts = vec![part(); PARTS_MAX]), Ok(()));
    assert_eq!(tried(&|report| report.parts = vec![part(); PARTS_MAX + 1]), Err(ReportError::Malformed));
    assert_eq!(tried(&|report| report.parts[0].earlier = vec!["e".into(); EARLIER_MAX]), Ok(()));
    assert_eq!(tried(&|report| report.parts[0].earlier = vec!["e".into(); 6]), Err(ReportError::Malformed));
    assert_eq!(tried(&|report| report.parts[0].kind = "k".repeat(KIND_BYTES_MAX)), Ok(()));
    for kind in [String::new(), "k".repeat(KIND_BYTES_MAX + 1), "Text".into(), "a b".into()] {
        assert_eq!(tried(&|report| report.parts[0].kind.clone_from(&kind)), Err(ReportError::Malformed));
    }
    assert_eq!(tried(&|report| report.parts = Vec::new()), Ok(()));
    assert_eq!(tried(&|report| report.recipient = None), Ok(()));
    assert_eq!(tried(&|report| report.suite = None), Ok(()));
    let room = REPORT_BYTES_MAX - SignedReport::sign(made.clone(), &key).unwrap().encode().len();
    // Three length prefixes grow with the text.
    let longest = |report: &mut Report| report.parts[0].text.push_str(&"t".repeat(room - 6));
    assert_eq!(tried(&longest), Ok(()));
    assert_eq!(tried(&|report| report.parts[0].text = "t".repeat(REPORT_BYTES_MAX)), Err(ReportError::TooLarge));
}

/// ACC-60, CON-3: nothing in a report can move a cursor, wherever it stands.
#[test]
fn nothing_in_a_report_is_unsafe_to_print() {
    let key = fixed_key(7);
    let made = report(key.verifying_key());
    for place in 0..4 {
        let mut report = made.clone();
        let evil = "\u{1b}[2J\u{202e}".to_owned();
        match place {
            0 => report.note = evil,
            1 => report.subject = evil,
            2 => report.parts[0].text = evil,
            _ => report.parts[0].earlier = vec![evil],
        }
        assert_eq!(SignedReport::sign(report, &key), Err(ReportError::Unsafe), "{place}");
    }
}

/// ACC-60: what is no report is an error, never a panic.
#[test]
fn nonsense_is_malformed() {
    let key = fixed_key(7);
    let signed = SignedReport::sign(report(key.verifying_key()), &key).unwrap();
    let of = |wire: wire::Report| {
        let bytes = Bytes::from(wire.encode_to_vec());
        let signature = key.sign(Label::Report, &[&bytes]);
        SignedReport::verify(SignedReport { bytes, signature, ..signed.clone() }.encode(), key.verifying_key())
    };
    let good = signed.report.to_wire();
    assert!(of(good.clone()).is_ok());
    for wire in [
        wire::Report { account_id: Bytes::new(), ..good.clone() },
        wire::Report { device_id: vec![1; 17].into(), ..good.clone() },
        wire::Report { message_id: vec![1; 15].into(), ..good.clone() },
        wire::Report { sender_account: Bytes::new(), ..good.clone() },
        wire::Report { sender_device: Bytes::new(), ..good.clone() },
        wire::Report { sender: "mallory".into(), ..good.clone() },
        wire::Report { sender: "mailto:Mallory@example.org".into(), ..good.clone() },
        wire::Report { recipient: "alice".into(), ..good },
    ] {
        assert_eq!(of(wire), Err(ReportError::Malformed));
    }
    for bytes in [&[][..], &[0xff; 40], &signed.encode()[..60]] {
        let read = SignedReport::verify(Bytes::copy_from_slice(bytes), key.verifying_key());
        assert_eq!(read, Err(ReportError::Malformed));
    }
}
