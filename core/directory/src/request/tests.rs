use std::collections::BTreeMap;

use halcyon_crypto::kdf::labelled_hash;
use proptest::prelude::*;

use super::*;
use crate::{
    ids::device_id,
    testing::{NOW, fixed_key, rng},
};

const HOST: &str = "halcyon.example";
const TARGET: RequestTarget<'_> =
    RequestTarget { method: "POST", path_and_query: "/v1/lookup?x=1", body: b"who is bob" };

fn signed() -> (SigningKey, SignedRequest) {
    let phone = fixed_key(1);
    let id = device_id(phone.verifying_key().compact());
    let request = SignedRequest::sign(id, &phone, HOST, TARGET, NOW, &mut rng(1));
    (phone, request)
}

fn read(headers: &BTreeMap<&str, String>) -> Result<SignedRequest, RequestError> {
    SignedRequest::from_headers(|name| headers.get(name).map(String::as_str))
}

/// ACC-1: Alice's phone asks, and the server reads who it is.
#[test]
fn a_signed_request_is_authentic() {
    let (phone, request) = signed();
    let received = read(&request.headers().into_iter().collect()).unwrap();
    assert_eq!(received, request);
    let authentic = received.verify(Some(phone.verifying_key()), HOST, TARGET, NOW).unwrap();
    assert_eq!(authentic.device(), received.claimed_device());
    assert_eq!(authentic.nonce(), request.nonce);
}

/// ACC-2: an unknown device and a wrong signature are one answer; whatever part differs, the signature is wrong.
#[test]
fn a_request_is_bound_to_all_its_parts() {
    let (phone, request) = signed();
    let verify = |request: &SignedRequest, target| request.verify(Some(phone.verifying_key()), HOST, target, NOW);
    assert_eq!(request.verify(None, HOST, TARGET, NOW), Err(RequestError::Unauthenticated));
    assert_eq!(
        request.verify(Some(fixed_key(40).verifying_key()), HOST, TARGET, NOW),
        Err(RequestError::Unauthenticated)
    );
    let others = [
        RequestTarget { method: "PUT", ..TARGET },
        RequestTarget { path_and_query: "/v1/lookup", ..TARGET },
        RequestTarget { body: b"who is carol", ..TARGET },
        RequestTarget { body: b"", ..TARGET },
    ];
    for target in others {
        assert_eq!(verify(&request, target), Err(RequestError::Unauthenticated), "{target:?}");
    }
    let later = SignedRequest { time: NOW.plus(Duration::from_millis(1)), ..request.clone() };
    assert_eq!(verify(&later, TARGET), Err(RequestError::Unauthenticated));
    let renonced = SignedRequest { nonce: [0; 16], ..request };
    assert_eq!(verify(&renonced, TARGET), Err(RequestError::Unauthenticated));
}

/// ACC-2: five minutes either way, and no more.
#[test]
fn a_skewed_clock_is_told_so() {
    let (phone, request) = signed();
    let at = |now| request.verify(Some(phone.verifying_key()), HOST, TARGET, now).map(|_| ());
    let (skew, ms) = (CLOCK_SKEW_MAX, Duration::from_millis(1));
    assert_eq!((at(NOW.plus(skew)), at(NOW.minus(skew))), (Ok(()), Ok(())));
    assert_eq!(at(NOW.plus(skew).plus(ms)), Err(RequestError::ClockSkew));
    assert_eq!(at(NOW.minus(skew).minus(ms)), Err(RequestError::ClockSkew));
    assert_eq!(RequestError::ClockSkew.code(), "clock_skew");
}

/// ACC-2: a request for one server is worth nothing at another.
#[test]
fn a_request_for_another_server_is_refused() {
    let (phone, request) = signed();
    let elsewhere = request.verify(Some(phone.verifying_key()), "evil.example", TARGET, NOW);
    assert_eq!(elsewhere, Err(RequestError::WrongAudience));
}

/// ACC-1: a header that is missing or malformed is no signature.
#[test]
fn malformed_headers_are_refused() {
    let (_, request) = signed();
    let good: BTreeMap<&str, String> = request.headers().into_iter().collect();
    for name in good.keys() {
        let mut missing = good.clone();
        missing.remove(name);
        assert_eq!(read(&missing), Err(RequestError::Unauthenticated), "{name}");
    }
    let bad = [
        (HEADER_DEVICE, "00".repeat(15)),
        (HEADER_TIME, "+5".into()),
        (HEADER_TIME, "99999999999999999999".into()),
        (HEADER_NONCE, "zz".repeat(16)),
        (HEADER_SIGNATURE, "AAAA".into()),
        (HEADER_SIGNATURE, "?".into()),
        (HEADER_AUDIENCE, "a".repeat(254)),
    ];
    for (name, value) in bad {
        let mut headers = good.clone();
        headers.insert(name, value);
        assert_eq!(read(&headers), Err(RequestError::Unauthenticated), "{name}");
    }
}

/// ACC-1, IDN-11: the signed preimage, as its hash, pinned.
#[test]
fn the_bytes_are_pinned() {
    let parts = Parts::of(HOST, TARGET, NOW, [7; 16]);
    assert_eq!(
        hex::encode(labelled_hash(Label::Request, &parts.as_slices())),
        "9cc5ebb0468ce545b1dbe64ece0df89d13d4fb78a86e713ef907429180689447"
    );
}

proptest! {
    /// ACC-1: hostile headers never panic.
    #[test]
    fn any_headers_are_judged(device: String, time: String, nonce: String, audience: String, signature: String) {
        let headers = [(HEADER_DEVICE, device), (HEADER_TIME, time), (HEADER_NONCE, nonce), (HEADER_AUDIENCE, audience), (HEADER_SIGNATURE, signature)];
        let _ = read(&headers.into_iter().collect());
    }
}
