//! The HTTPS port: the real router over the real services and store, asked anything by anybody.
//!
//! Alice's phone is registered; her laptop, which has keys but no account here, is a stranger. The bytes are up to three
//! requests: which route, which parameters, who signs, what body.
//!
//! - No request panics or is the server's fault: there is no 5xx (ACC-3).
//! - Every refusal is a problem with a code, and repeats nothing (ACC-3).
//! - What is for members is for members: nobody else gets a 2xx (ACC-2).
//! - A mail that leaves is plain text in one language and for one address (ACC-20).
//! - Files of test vectors are JSON of somebody else, too: they are run or refused.
//!
//! The server lives as long as its thread, so an input may find what an earlier one left.

mod server;

use axum::{body::Body, http::Request};
use halcyon_directory::{
    prekeys::Prekey,
    request::{RequestTarget, SignedRequest},
};
use halcyon_server_net::http::routes::{Caller, Media, ROUTES, Route};
use halcyon_testkit::vectors;
use halcyon_types::SuiteId;
use serde_json::{Value, json};

use self::server::{Answer, Server};
use crate::{
    input::{Input, piece},
    people::{ALICE, BOB, Device, NOW, SERVER},
};

/// Requests of one run.
const REQUESTS_MAX: usize = 3;

/// Asks the server, or runs a file of vectors.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    if input.choice(8) == 7 {
        if let Ok(text) = std::str::from_utf8(input.rest()) {
            let _ = vectors::run(text);
        }
        return;
    }
    for _ in 0..REQUESTS_MAX {
        if input.is_empty() {
            break;
        }
        ask(&mut input);
    }
}

/// Who signs a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Signer {
    Nobody,
    /// Alice's phone, a member.
    Phone,
    /// A device that the server does not know.
    Stranger,
    /// Alice's phone, for another path.
    Misplaced,
}

const SIGNERS: [Signer; 4] = [Signer::Phone, Signer::Nobody, Signer::Stranger, Signer::Misplaced];
const TYPES: [&str; 3] = ["application/json", "application/x-protobuf", "text/plain"];

fn ask(input: &mut Input<'_>) {
    let routes: Vec<&Route> = ROUTES.iter().filter(|route| route.response != Media::WebSocket).collect();
    let route = routes[input.choice(routes.len())];
    let signer = SIGNERS[input.choice(SIGNERS.len())];
    let media = match input.choice(4) {
        0 if route.request == Media::Protobuf => TYPES[1],
        0 => TYPES[0],
        other => TYPES[other - 1],
    };
    let (parameter, body) = (input.piece(), input.piece());
    let path = path(route.path, parameter);
    let builder = Request::builder().method(route.method).uri(&path).header("content-type", media);
    let target = RequestTarget { method: route.method, path_and_query: &path, body };
    let builder =
        headers(signer, target).into_iter().fold(builder, |builder, (name, value)| builder.header(name, value));
    let Ok(request) = builder.body(Body::from(body.to_vec())) else { return };
    let answer = HERE.with(|server| server.answer(request));
    // What is no route's path is nobody's secret.
    let caller = if is_of(route.path, &path) { route.caller } else { Caller::Anyone };
    check(&Route { caller, ..*route }, signer, &answer);
}

/// Whether a path is of a route: an empty parameter makes it none, and a query in the midst of it another one.
fn is_of(template: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let is_it = |(known, here): (&str, &str)| if known.starts_with('{') { !here.is_empty() } else { known == here };
    template.split('/').count() == path.split('/').count() && template.split('/').zip(path.split('/')).all(is_it)
}

thread_local! {
    static HERE: Server = Server::start();
}

/// Puts a text in the place of the parameter: what may not stand in a path is written with percent signs, and what follows
/// a question mark is the query.
fn path(template: &str, parameter: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:@!$&'()*+,;=%?".contains(byte);
    let escaped: String = parameter
        .iter()
        .map(|byte| if plain(byte) { char::from(*byte).to_string() } else { format!("%{byte:02x}") })
        .collect();
    match (template.find('{'), template.find('}')) {
        (Some(begin), Some(end)) => format!("{}{escaped}{}", &template[..begin], &template[end + 1..]),
        _ if escaped.is_empty() => template.to_owned(),
        _ => format!("{template}?{escaped}"),
    }
}

fn headers(signer: Signer, target: RequestTarget<'_>) -> Vec<(&'static str, String)> {
    let (device, target) = match signer {
        Signer::Nobody => return Vec::new(),
        Signer::Phone => (&ALICE.phone, target),
        Signer::Stranger => (&ALICE.laptop, target),
        Signer::Misplaced => (&ALICE.phone, RequestTarget { path_and_query: "/elsewhere", ..target }),
    };
    // A nonce that nobody used before, so that a run does not depend on how often it ran.
    SignedRequest::sign(device.id(), &device.keys.device, SERVER, target, NOW, &mut rand::rngs::OsRng)
        .headers()
        .to_vec()
}

fn check(route: &Route, signer: Signer, answer: &Answer) {
    let (status, what) = (answer.status, format!("{} {} by {signer:?}", route.method, route.path));
    assert!(status < 500, "{what}: {status}, which is the server's own fault: {:?}", answer.text());
    // A person who follows a link gets a page, also when the link is of no use any more.
    let is_page = route.response == Media::Html && answer.media == "text/html; charset=utf-8";
    if status >= 400 && !is_page {
        assert_eq!(answer.media, "application/problem+json", "{what}: {status}");
        let problem: Value = serde_json::from_slice(&answer.body).expect("a problem is JSON");
        assert!(problem["code"].as_str().is_some_and(|code| !code.is_empty()), "{what}: {problem}");
        assert!(
            problem["detail"].as_str().is_some_and(|detail| !detail.contains(char::is_control)),
            "{what}: {problem}"
        );
    }
    let stranger = signer != Signer::Phone;
    if route.caller == Caller::Member && stranger {
        assert_eq!(status, 401, "{what}");
    }
    if status < 300 && route.response == Media::Json {
        assert!(serde_json::from_slice::<Value>(&answer.body).is_ok(), "{what}: not JSON");
    }
}

/// One honest request for each route, so far as it can be made without an answer.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let base64 = |bytes: &[u8]| STANDARD.encode(bytes);
    let record = |device: &Device| base64(device.keys.prekeys.record());
    let laptop = &ALICE.laptop;
    let third = ALICE.list.next().without(laptop.id()).sign(&ALICE.key, NOW).unwrap();
    let asked = halcyon_directory::lookup::LookupRequest::new(vec![BOB.handle.clone(), ALICE.handle.clone()]).unwrap();
    let upload =
        Prekey { suite: SuiteId::PAIR_EC, record: bytes::Bytes::copy_from_slice(ALICE.phone.keys.prekeys.record()) };
    let id = "0f".repeat(16);
    let registration = json!({
        "verification_id": id, "account_id": BOB.account().to_hex(), "account_key": base64(BOB.key.verifying_key().compact().as_bytes()),
        "upload": base64(&[1; 192]), "device_list": base64(&BOB.list.encode()),
        "prekeys": [{ "suite": 2, "record": record(&BOB.phone) }], "request": base64(&[2; 32]),
    });
    let link = json!({
        "ticket": base64(&[3; 32]), "entry": base64(laptop.entry.bytes()),
        "entry_signature": base64(laptop.entry.signature().as_bytes()), "ephemeral": base64(&[4; 32]),
        "commitment": base64(&[5; 32]), "prekeys": [{ "suite": 2, "record": record(laptop) }],
    });
    let body = |path: &str| -> Vec<u8> {
        let json = match path {
            "/v1/verifications" | "/v1/handles" => json!({ "handle": "carol@example.org", "purpose": "registration" }),
            "/v1/verifications/{id}/code" => json!({ "code": "012345" }),
            "/v1/registrations/start" | "/v1/registrations/finish" => registration.clone(),
            "/v1/sign-ins/start" => json!({ "handle": "alice@example.org", "request": base64(&[2; 32]) }),
            "/v1/sign-ins/finish" => json!({ "sign_in_id": id, "finalization": base64(&[2; 64]) }),
            "/v1/links" => link.clone(),
            "/v1/links/{id}/challenge" | "/v1/links/{id}/reveal" => {
                json!({ "ephemeral": base64(&[4; 32]), "nonce": base64(&[6; 32]) })
            }
            "/v1/links/{id}/complete" => json!({ "device_list": base64(&third.encode()), "sealed": base64(&[7; 50]) }),
            "/v1/lookup" => return asked.encode().to_vec(),
            "/v1/device-list" => return third.encode().to_vec(),
            "/v1/reports" => return crate::directory::honest_report().encode().to_vec(),
            "/v1/prekeys" => return Prekey::encode_upload(std::slice::from_ref(&upload)).to_vec(),
            _ => return Vec::new(),
        };
        json.to_string().into_bytes()
    };
    let routes = ROUTES.iter().filter(|route| route.response != Media::WebSocket);
    let mut seeds: Vec<Vec<u8>> = routes
        .zip(0u8..)
        .map(|(route, index)| {
            let parameter = match route.path {
                "/v1/handles/{handle}" => "mailto:carol@example.org",
                "/verify/{token}" => &"ab".repeat(32),
                "/v1/links/{id}" => "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f?wait_s=3",
                path if path.contains('{') => &id,
                _ => "",
            };
            [
                &[0, index, u8::from(route.request == Media::None), 0],
                &piece(parameter.as_bytes())[..],
                &piece(&body(route.path)),
            ]
            .concat()
        })
        .collect();
    for file in [r#"{"suite":"pair-ec","schema":1,"tests":[{"id":1,"comment":"","result":"valid"}]}"#, "[{}]"] {
        seeds.push([&[7], file.as_bytes()].concat());
    }
    seeds
}
