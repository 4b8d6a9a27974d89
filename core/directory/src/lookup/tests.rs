use super::*;
use crate::testing::{Account, bobs_handle, padded, rng};

fn handles(count: usize) -> Vec<Handle> {
    (0..count).map(|n| Handle::parse(&format!("bob{n}@example.org")).unwrap()).collect()
}

/// What another program may send: any number of handles.
fn wire_request(count: usize) -> Bytes {
    let handles = handles(count).iter().map(|handle| handle.as_uri().to_owned()).collect();
    wire::LookupRequest { handles }.encode_to_vec().into()
}

/// DIR-20: Alice asks for up to 20 people at once, in her order.
#[test]
fn the_count_of_handles_is_exact() {
    let asked = LookupRequest::new(handles(HANDLES_MAX)).unwrap();
    assert_eq!(asked.handles(), handles(HANDLES_MAX));
    let read = LookupRequest::decode(asked.encode()).unwrap();
    assert_eq!(read.handles(), asked.handles());
    for count in [0, HANDLES_MAX + 1] {
        let refused = Err(RequestError::Count { found: count });
        assert_eq!(LookupRequest::new(handles(count)), refused);
        assert_eq!(LookupRequest::decode(wire_request(count)), refused);
    }
    // A crowd is counted before anybody looks at its names.
    let odd = wire::LookupRequest { handles: vec!["no handle".to_owned(); HANDLES_MAX + 1] };
    assert_eq!(LookupRequest::decode(odd.encode_to_vec().into()), Err(RequestError::Count { found: HANDLES_MAX + 1 }));
}

/// DIR-20: the limits of bytes are allowed themselves, and are what the spec says.
#[test]
fn the_limits_of_bytes_are_exact() {
    assert_eq!((REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX), (8_192, 3_440_640));
    let request = LookupRequest::new(vec![bobs_handle()]).unwrap();
    assert_eq!(LookupRequest::decode(padded(&request.encode(), REQUEST_BYTES_MAX)), Ok(request.clone()));
    let over = LookupRequest::decode(padded(&request.encode(), REQUEST_BYTES_MAX + 1));
    assert_eq!(over, Err(RequestError::Malformed));
    let response = encode_response(&[(bobs_handle(), None)]);
    assert_eq!(request.read_response(padded(&response, RESPONSE_BYTES_MAX)).map(|answers| answers.len()), Ok(1));
    let over = request.read_response(padded(&response, RESPONSE_BYTES_MAX + 1));
    assert!(matches!(over, Err(ResponseError::Malformed)));
}

/// DIR-24: what a client keeps of an answer is addresses and session; the list has its own place.
#[test]
fn kept_addresses_have_no_list() {
    let bob = Account::with(&["phone"], &mut rng(1));
    let served = bob.served(&bob.list, &mut rng(2));
    let session = served.session.clone();
    let kept = Addresses::from_wire(&served.to_wire()).unwrap();
    assert!(kept.encode().len() < served.to_wire().encode_to_vec().len() - bob.list.bytes().len());
    let read = Addresses::decode(&kept.encode()).unwrap();
    assert_eq!((read.session(), &read), (&session, &kept));
    let device = bob.devices[0].id();
    assert_eq!(
        read.of(device).map(|(token, prekeys)| (token, prekeys.len())),
        Some((crate::testing::push_token(device), 1))
    );
}
