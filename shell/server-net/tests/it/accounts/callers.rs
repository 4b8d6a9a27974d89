//! Everybody who may come to a server, and a fresh request of every kind for each of them to make.

use bytes::Bytes;
use halcyon_crypto::SigningKey;
use halcyon_directory::SignedList;
use halcyon_directory::link_approval::newcomer::Newcomer;
use halcyon_directory::lookup::LookupRequest;
use halcyon_directory::prekeys::Prekey;
use halcyon_directory::report::SignedReport;
use halcyon_server::ports::Clock;
use halcyon_types::{DeviceId, Duration, Handle};
use http::Request;
use rand::rngs::OsRng;
use serde_json::{Value, json};

use crate::http::{Answer, Signer};
use crate::people::{Device, Linking, PASSWORD, Person, Registration, base64, from_base64, sign_in, verify};
use crate::reports::report;
use crate::world::World;

/// Who signs a request, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The one whom the request is for.
    Right,
    /// Another device of the same account.
    Sibling,
    /// A device that asks to join the account, and was not approved.
    Newcomer,
    /// A device of another account.
    Other,
    /// A device that was removed from the account.
    Revoked,
    /// A device that the server never heard of.
    Stranger,
    /// No signature at all.
    Nobody,
    /// The right one, six minutes ago.
    Expired,
    /// The right one, for another server.
    Foreign,
    /// The right one's request that was taken before, byte for byte.
    Replayed,
    /// The right one's device id with another key.
    Forged,
}

impl Caller {
    /// In the order of the tables' columns.
    pub const ALL: [Self; 11] = [
        Self::Right,
        Self::Sibling,
        Self::Newcomer,
        Self::Other,
        Self::Revoked,
        Self::Stranger,
        Self::Nobody,
        Self::Expired,
        Self::Foreign,
        Self::Replayed,
        Self::Forged,
    ];

    /// What the server says when it refuses this one's signature (ACC-2).
    pub fn refusal(self) -> &'static str {
        match self {
            Self::Expired => "clock_skew",
            Self::Foreign => "wrong_audience",
            Self::Replayed => "replayed",
            _ => "unauthenticated",
        }
    }
}

/// A device that signs.
#[derive(Clone)]
pub struct Key {
    pub device: DeviceId,
    pub key: SigningKey,
}

impl Key {
    pub fn of(device: &Device) -> Self {
        Self { device: device.id, key: device.key.clone() }
    }

    pub fn signer(&self) -> Signer<'_> {
        Signer { device: self.device, key: &self.key }
    }
}

/// A request that nobody signed yet.
pub struct Prepared {
    pub request: Request<Bytes>,
    /// Whom it is for.
    pub right: Key,
    /// The device that asks to join, where the request is about one.
    newcomer: Option<Key>,
}

/// Alice with phone and laptop, a tablet that she removed and a watch that asks to join, and Bob.
pub struct Cast {
    pub alice: Person,
    pub bob: Person,
    revoked: Key,
    waiting: Key,
    stranger: Device,
    count: usize,
}

impl Cast {
    pub async fn assemble(world: &World) -> Self {
        let mut alice = Person::register(world, "alice@example.org", "phone").await;
        alice.link(world, "tablet").await;
        alice.link(world, "laptop").await;
        let tablet = alice.devices.remove(1);
        let list = alice.list.next().without(tablet.id).sign(&alice.account_key, world.clock.now()).unwrap();
        alice.put_list(world, &list).await.expect(204);
        alice.list = list;
        let bob = Person::register(world, "bob@example.org", "phone").await;
        let waiting = Linking::open(world, &alice, "watch").await;
        Self {
            alice,
            bob,
            revoked: Key::of(&tablet),
            waiting: Key::of(&waiting.device),
            stranger: Device::new("stranger"),
            count: 0,
        }
    }

    /// Signs a request as one of them, or leaves it unsigned.
    pub fn sign(&self, world: &World, prepared: &Prepared, caller: Caller) -> Request<Bytes> {
        let mut client = world.client();
        match caller {
            Caller::Nobody => return clone(&prepared.request),
            Caller::Expired => client = client.with_clock(world.clock.behind(Duration::from_mins(6))),
            Caller::Foreign => client.audience = "mallory.example".to_owned(),
            _ => {}
        }
        let key = self.key(caller, &prepared.right, prepared.newcomer.as_ref());
        client.sign(clone(&prepared.request), key.signer())
    }

    /// Returns who signs where it is about Alice's phone.
    pub fn key_of(&self, caller: Caller) -> Key {
        self.key(caller, &Key::of(&self.alice.devices[0]), None)
    }

    fn key(&self, caller: Caller, right: &Key, newcomer: Option<&Key>) -> Key {
        match caller {
            Caller::Right | Caller::Nobody | Caller::Expired | Caller::Foreign | Caller::Replayed => right.clone(),
            Caller::Sibling => Key::of(&self.alice.devices[1]),
            Caller::Newcomer => newcomer.unwrap_or(&self.waiting).clone(),
            Caller::Other => Key::of(&self.bob.devices[0]),
            Caller::Revoked => self.revoked.clone(),
            Caller::Stranger => Key::of(&self.stranger),
            Caller::Forged => Key { device: right.device, key: self.stranger.key.clone() },
        }
    }

    /// Makes a request to an endpoint that would succeed, with everything that it needs.
    pub async fn prepare(&mut self, world: &World, method: &str, path: &str) -> Prepared {
        let (path, body, right, newcomer) = match (method, path) {
            ("POST", "/v1/verifications") => (path.to_owned(), json!({ "handle": self.fresh_handle() }), None, None),
            ("GET", "/v1/verifications/{id}") => {
                let (id, _) = self.begin_verification(world).await;
                (format!("/v1/verifications/{id}"), Value::Null, None, None)
            }
            ("POST", "/v1/verifications/{id}/code") => {
                let (id, handle) = self.begin_verification(world).await;
                let code = world.mail(&handle, 1).await.code().unwrap();
                (format!("/v1/verifications/{id}/code"), json!({ "code": code }), None, None)
            }
            ("GET" | "POST", "/verify/{token}") => {
                let (_, handle) = self.begin_verification(world).await;
                (world.mail(&handle, 1).await.link().unwrap(), Value::Null, None, None)
            }
            ("POST", "/v1/registrations/start") => {
                let id = verify(world, &self.fresh_handle()).await;
                let (_, request) = halcyon_crypto::opaque::ClientRegistration::start(&mut OsRng, PASSWORD).unwrap();
                let account = self.alice.account.to_hex();
                let body = json!({ "verification_id": id, "account_id": account, "request": base64(&request) });
                (path.to_owned(), body, None, None)
            }
            ("POST", "/v1/registrations/finish") => {
                let handle = self.fresh_handle();
                let registration = Registration::prepare(world, &handle, "phone").await;
                (path.to_owned(), registration.body(), Some(Key::of(&registration.person.devices[0])), None)
            }
            ("POST", "/v1/sign-ins/start") => {
                let (_, ke1) = halcyon_crypto::opaque::ClientLogin::start(&mut OsRng, PASSWORD).unwrap();
                (path.to_owned(), json!({ "handle": self.alice.address, "ke1": base64(&ke1) }), None, None)
            }
            ("POST", "/v1/sign-ins/finish") => (path.to_owned(), self.finish_of_a_sign_in(world).await, None, None),
            ("GET", "/v1/account" | "/v1/links") => (path.to_owned(), Value::Null, None, None),
            ("POST", "/v1/handles") => (path.to_owned(), json!({ "handle": self.fresh_handle() }), None, None),
            ("DELETE", "/v1/handles/{handle}") => {
                let handle = self.fresh_handle();
                let begun = self.alice.ask(world, "POST", "/v1/handles", json!({ "handle": handle })).await.expect(202);
                let code = world.mail(&handle, 1).await.code().unwrap();
                let verify = format!("/v1/verifications/{}/code", begun.text("verification_id"));
                world.client().post(&verify, json!({ "code": code })).await.expect(200);
                (format!("/v1/handles/mailto%3A{}", handle.replace('@', "%40")), Value::Null, None, None)
            }
            ("POST", "/v1/links") => {
                let ticket = sign_in(world, &self.alice.address, PASSWORD).await.unwrap();
                let device = Device::new("another");
                let account = self.alice.account;
                let newcomer = Newcomer::begin(account, device.entry(account, world), &mut OsRng);
                let body = Linking::body(&ticket, &newcomer.request(), &device);
                (path.to_owned(), body, Some(Key::of(&device)), None)
            }
            ("GET", "/v1/links/{id}") => {
                let linking = Linking::open(world, &self.alice, "another").await;
                (linking.path(""), Value::Null, None, Some(Key::of(&linking.device)))
            }
            ("POST", "/v1/links/{id}/challenge") => {
                let linking = Linking::open(world, &self.alice, "another").await;
                (linking.path("/challenge"), challenge(), None, Some(Key::of(&linking.device)))
            }
            ("POST", "/v1/links/{id}/reveal") => {
                let linking = self.challenged_link(world).await;
                let right = Key::of(&linking.device);
                (linking.path("/reveal"), json!({ "nonce": base64(&[9; 32]) }), Some(right.clone()), Some(right))
            }
            ("POST", "/v1/links/{id}/reject") => {
                let linking = Linking::open(world, &self.alice, "another").await;
                (linking.path("/reject"), Value::Null, None, Some(Key::of(&linking.device)))
            }
            ("POST", "/v1/links/{id}/complete") => {
                let linking = self.challenged_link(world).await;
                let reveal = json!({ "nonce": base64(&[9; 32]) });
                let signer = linking.device.signer();
                world.client().signed(signer, "POST", &linking.path("/reveal"), reveal).await.expect(204);
                let entry = linking.device.entry(self.alice.account, world);
                let next = self.current_list(world).await.next().with(entry);
                let list = next.sign(&self.alice.account_key, world.clock.now()).unwrap();
                let body = json!({ "device_list": base64(&list.encode()), "sealed": base64(&[1; 50]) });
                (linking.path("/complete"), body, None, Some(Key::of(&linking.device)))
            }
            ("POST", "/v1/lookup") => {
                let handle = Handle::parse(&self.bob.address).unwrap();
                return self.protobuf(world, method, path, LookupRequest::new(vec![handle]).unwrap().encode(), None);
            }
            ("PUT", "/v1/device-list") => {
                let next = self.current_list(world).await.next();
                let list = next.sign(&self.alice.account_key, world.clock.now()).unwrap();
                return self.protobuf(world, method, path, list.encode(), None);
            }
            ("PUT", "/v1/prekeys") => {
                let upload = Prekey::encode_upload(&[self.alice.devices[0].prekey()]);
                return self.protobuf(world, method, path, upload, None);
            }
            ("POST", "/v1/reports") => {
                let phone = &self.alice.devices[0];
                let signed = SignedReport::sign(report(world, &self.alice, phone, 1, ""), &phone.key).unwrap();
                return self.protobuf(world, method, path, signed.encode(), None);
            }
            ("GET", "/v1/courier") => {
                let mut prepared = self.json(world, method, path, Value::Null);
                let headers = prepared.request.headers_mut();
                for (name, value) in [
                    ("connection", "upgrade"),
                    ("upgrade", "websocket"),
                    ("sec-websocket-version", "13"),
                    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                    ("sec-websocket-protocol", halcyon_server_net::courier::websocket::SUBPROTOCOL),
                ] {
                    headers.insert(name, value.parse().unwrap());
                }
                return prepared;
            }
            ("GET", "/v1/server" | "/v1/openapi.json") => (path.to_owned(), Value::Null, None, None),
            other => panic!("{other:?} is a new endpoint: say here what a good request to it looks like"),
        };
        let mut prepared = self.json(world, method, &path, body);
        prepared.right = right.unwrap_or(prepared.right);
        prepared.newcomer = newcomer;
        prepared
    }

    fn json(&self, world: &World, method: &str, path: &str, body: Value) -> Prepared {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = world.client().request(method, path, "application/json", body);
        Prepared { request, right: Key::of(&self.alice.devices[0]), newcomer: None }
    }

    fn protobuf(&self, world: &World, method: &str, path: &str, body: Bytes, newcomer: Option<Key>) -> Prepared {
        let request = world.client().request(method, path, "application/x-protobuf", body);
        Prepared { request, right: Key::of(&self.alice.devices[0]), newcomer }
    }

    fn fresh_handle(&mut self) -> String {
        self.count += 1;
        format!("fresh{}@example.net", self.count)
    }

    async fn begin_verification(&mut self, world: &World) -> (String, String) {
        let handle = self.fresh_handle();
        let begun: Answer = world.client().post("/v1/verifications", json!({ "handle": handle })).await.expect(202);
        (begun.text("verification_id"), handle)
    }

    async fn finish_of_a_sign_in(&self, world: &World) -> Value {
        let (login, ke1) = halcyon_crypto::opaque::ClientLogin::start(&mut OsRng, PASSWORD).unwrap();
        let start = json!({ "handle": self.alice.address, "ke1": base64(&ke1) });
        let started = world.client().post("/v1/sign-ins/start", start).await.expect(200);
        let ke2 = from_base64(&started.text("ke2"));
        let ke3 = login.finish(&mut OsRng, &ke2, crate::people::PARAMS).unwrap().finalization;
        json!({ "sign_in_id": started.text("sign_in_id"), "ke3": base64(&ke3) })
    }

    async fn challenged_link(&self, world: &World) -> Linking {
        let linking = Linking::open(world, &self.alice, "another").await;
        self.alice.ask(world, "POST", &linking.path("/challenge"), challenge()).await.expect(204);
        linking
    }

    async fn current_list(&self, world: &World) -> SignedList {
        let account = self.alice.ask(world, "GET", "/v1/account", Value::Null).await.expect(200);
        SignedList::decode(from_base64(&account.text("device_list")).into()).unwrap()
    }
}

fn challenge() -> Value {
    let key = halcyon_crypto::AgreementKey::generate(&mut OsRng);
    json!({ "ephemeral": base64(key.compact().as_bytes()), "nonce": base64(&[3; 32]) })
}

/// A request is not `Clone` because its extensions need not be; ours has none.
pub fn clone(request: &Request<Bytes>) -> Request<Bytes> {
    let mut copy = Request::new(request.body().clone());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}
