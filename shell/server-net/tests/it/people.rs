//! People with devices, who do what clients do, one step a function.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use halcyon_crypto::opaque::{ClientLogin, ClientRegistration};
use halcyon_crypto::password::PasswordParams;
use halcyon_crypto::{AgreementKey, SigningKey};
use halcyon_directory::link_approval::approver::{Candidate, Completion, Typed};
use halcyon_directory::link_approval::newcomer::Newcomer;
use halcyon_directory::link_approval::{Challenge, LinkRequest};
use halcyon_directory::lookup::LookupRequest;
use halcyon_directory::prekeys::Prekey;
use halcyon_directory::{CountersignedEntry, DeviceEntry, SignedList, account_id, device_id};
use halcyon_server::ports::Clock;
use halcyon_types::{AccountId, DeviceId, Handle, SuiteId};
use rand::rngs::OsRng;
use serde_json::{Value, json};

use crate::http::{Answer, Signer};
use crate::world::World;

pub const PASSWORD: &[u8] = b"correct horse battery staple";

/// Cheap on purpose: how much a password costs is the client's choice alone, the server does not notice.
pub const PARAMS: PasswordParams = PasswordParams::dangerous_cheap();

pub struct Device {
    pub key: SigningKey,
    pub id: DeviceId,
    pub name: String,
}

/// A person with an account.
pub struct Person {
    pub address: String,
    pub account_key: SigningKey,
    pub account: AccountId,
    pub list: SignedList,
    pub devices: Vec<Device>,
}

pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub fn from_base64(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

impl Device {
    pub fn new(name: &str) -> Self {
        let key = SigningKey::generate_compact(&mut OsRng);
        let id = device_id(key.verifying_key().compact());
        Self { key, id, name: name.to_owned() }
    }

    pub fn entry(&self, account: AccountId, world: &World) -> CountersignedEntry {
        let suites = [SuiteId::PAIR_EC];
        let entry = DeviceEntry::new(self.key.verifying_key(), &self.name, &suites, None, world.clock.now()).unwrap();
        CountersignedEntry::sign(entry, account, &self.key).unwrap()
    }

    pub fn signer(&self) -> Signer<'_> {
        Signer { device: self.id, key: &self.key }
    }

    /// A fresh prekey of suite `pair-ec` (PEC-3).
    pub fn prekey(&self) -> Prekey {
        let key = AgreementKey::generate(&mut OsRng);
        let time = 1_700_000_000f64.to_le_bytes();
        let signature = self.key.sign_raw(&[b"NGMPrekeySignature", key.compact().as_bytes(), &time]);
        let record =
            [&[0x0a, 32], &key.compact().as_bytes()[..], &[0x12, 64], &signature.as_bytes()[..], &[0x19], &time];
        Prekey { suite: SuiteId::PAIR_EC, record: record.concat().into() }
    }

    pub fn prekeys_json(&self) -> Value {
        json!([{ "suite": 2, "record": base64(&self.prekey().record) }])
    }
}

/// Verifies an address by code and returns the verification's id.
pub async fn verify(world: &World, address: &str) -> String {
    let client = world.client();
    let before = world.mails(address).len();
    let begun = client.post("/v1/verifications", json!({ "handle": address })).await.expect(202);
    let id = begun.text("verification_id");
    let code = world.mail(address, before + 1).await.code().unwrap();
    client.post(&format!("/v1/verifications/{id}/code"), json!({ "code": code })).await.expect(200);
    id
}

/// A registration up to its last request, which the test sends.
pub struct Registration {
    pub verification: String,
    pub upload: Vec<u8>,
    pub person: Person,
}

impl Registration {
    pub async fn prepare(world: &World, address: &str, device: &str) -> Self {
        let verification = verify(world, address).await;
        Self::with_verification(world, address, device, verification).await
    }

    pub async fn with_verification(world: &World, address: &str, device: &str, verification: String) -> Self {
        let account_key = SigningKey::generate_compact(&mut OsRng);
        let account = account_id(account_key.verifying_key().compact());
        let device = Device::new(device);
        let list = SignedList::first(&account_key, device.entry(account, world), world.clock.now()).unwrap();
        let (opaque, request) = ClientRegistration::start(&mut OsRng, PASSWORD).unwrap();
        let body =
            json!({ "verification_id": verification, "account_id": account.to_hex(), "request": base64(&request) });
        let started = world.client().post("/v1/registrations/start", body).await.expect(200);
        let upload = opaque.finish(&mut OsRng, &from_base64(&started.text("response")), PARAMS).unwrap().upload;
        let person = Person { address: address.to_owned(), account_key, account, list, devices: vec![device] };
        Self { verification, upload, person }
    }

    pub fn body(&self) -> Value {
        json!({
            "verification_id": self.verification,
            "upload": base64(&self.upload),
            "device_list": base64(&self.person.list.encode()),
            "prekeys": self.person.devices[0].prekeys_json(),
        })
    }

    pub async fn send(&self, world: &World) -> Answer {
        let signer = self.person.devices[0].signer();
        world.client().signed(signer, "POST", "/v1/registrations/finish", self.body()).await
    }
}

/// Signs in and returns the ticket, or the refusal.
pub async fn sign_in(world: &World, address: &str, password: &[u8]) -> Result<String, Answer> {
    let client = world.client();
    let (login, ke1) = ClientLogin::start(&mut OsRng, password).unwrap();
    let body = json!({ "handle": address, "ke1": base64(&ke1) });
    let started = client.post("/v1/sign-ins/start", body).await;
    if started.status != 200 {
        return Err(started);
    }
    let ke2 = from_base64(&started.text("ke2"));
    // Who has the wrong password cannot make a KE3, and sends something of its form.
    let ke3 = login.finish(&mut OsRng, &ke2, PARAMS).map_or(vec![7; 64], |done| done.finalization);
    let body = json!({ "sign_in_id": started.text("sign_in_id"), "ke3": base64(&ke3) });
    let finished = client.post("/v1/sign-ins/finish", body).await;
    if finished.status == 200 { Ok(finished.text("ticket")) } else { Err(finished) }
}

impl Person {
    /// Registers with one device.
    pub async fn register(world: &World, address: &str, device: &str) -> Self {
        let registration = Registration::prepare(world, address, device).await;
        registration.send(world).await.expect(201);
        registration.person
    }

    pub fn first(&self) -> Signer<'_> {
        self.devices[0].signer()
    }

    pub fn device(&self, name: &str) -> &Device {
        self.devices.iter().find(|device| device.name == name).unwrap()
    }

    pub async fn ask(&self, world: &World, method: &str, path: &str, body: Value) -> Answer {
        world.client().signed(self.first(), method, path, body).await
    }

    pub async fn lookup(&self, world: &World, addresses: &[&str]) -> Answer {
        let handles = addresses.iter().map(|address| Handle::parse(address).unwrap()).collect();
        let request = LookupRequest::new(handles).unwrap().encode();
        world.client().signed_protobuf(self.first(), "POST", "/v1/lookup", request).await
    }

    pub async fn put_list(&self, world: &World, list: &SignedList) -> Answer {
        world.client().signed_protobuf(self.first(), "PUT", "/v1/device-list", list.encode()).await
    }

    /// Links a further device, from sign-in to the account key in its hands.
    pub async fn link(&mut self, world: &World, name: &str) {
        let linking = Linking::open(world, self, name).await;
        let (completion, newcomer) = linking.approve(world, self).await;
        self.list = completion.list;
        self.devices.push(newcomer);
    }
}

/// A link that was opened.
pub struct Linking {
    pub id: String,
    pub device: Device,
    pub newcomer: Newcomer,
}

impl Linking {
    pub async fn open(world: &World, person: &Person, name: &str) -> Self {
        let ticket = sign_in(world, &person.address, PASSWORD).await.unwrap();
        let device = Device::new(name);
        let newcomer = Newcomer::begin(person.account, device.entry(person.account, world), &mut OsRng);
        let body = Self::body(&ticket, &newcomer.request(), &device);
        let opened = world.client().signed(device.signer(), "POST", "/v1/links", body).await.expect(201);
        Self { id: opened.text("link_id"), device, newcomer }
    }

    pub fn body(ticket: &str, request: &LinkRequest, device: &Device) -> Value {
        json!({
            "ticket": ticket,
            "entry": base64(&request.entry),
            "entry_signature": base64(&request.entry_signature),
            "prekeys": device.prekeys_json(),
            "ephemeral": base64(&request.ephemeral),
            "commitment": base64(&request.commitment),
        })
    }

    pub fn path(&self, step: &str) -> String {
        format!("/v1/links/{}{step}", self.id)
    }

    /// What the new device sees.
    pub async fn look(&self, world: &World, query: &str) -> Answer {
        world.client().signed(self.device.signer(), "GET", &self.path(query), Value::Null).await.expect(200)
    }

    /// Challenge, reveal, digits, completion: both sides, as the people see it.
    async fn approve(self, world: &World, person: &Person) -> (Completion, Device) {
        let path = |step: &str| self.path(step);
        let listed = person.ask(world, "GET", "/v1/links", Value::Null).await.expect(200).json();
        let listed =
            listed["links"].as_array().unwrap().iter().find(|link| link["link_id"] == self.id).unwrap().clone();
        let bytes = |member: &str| from_base64(listed[member].as_str().unwrap());
        let request = LinkRequest {
            entry: bytes("entry").into(),
            entry_signature: bytes("entry_signature").into(),
            ephemeral: bytes("ephemeral").try_into().unwrap(),
            commitment: bytes("commitment").try_into().unwrap(),
        };
        let candidate = Candidate::examine(&person.list, person.devices[0].id, &request).unwrap();
        let (challenged, challenge) = candidate.challenge(&mut OsRng);
        let body = json!({ "ephemeral": base64(&challenge.ephemeral), "nonce": base64(&challenge.nonce) });
        person.ask(world, "POST", &path("/challenge"), body).await.expect(204);

        let seen = self.look(world, "?wait_s=5").await;
        assert_eq!(seen.text("state"), "challenged");
        let challenge = Challenge {
            approver: seen.text("approver_device").parse().unwrap(),
            ephemeral: from_base64(&seen.text("ephemeral")).try_into().unwrap(),
            nonce: from_base64(&seen.text("nonce")).try_into().unwrap(),
        };
        let revealing = self.newcomer.challenged(challenge).unwrap();
        let client = world.client();
        let body = json!({ "nonce": base64(&revealing.reveal()) });
        let reveal = format!("/v1/links/{}/reveal", self.id);
        client.signed(self.device.signer(), "POST", &reveal, body).await.expect(204);

        let link = format!("/v1/links/{}", self.id);
        let seen = person.ask(world, "GET", &format!("{link}?wait_s=5"), Value::Null).await.expect(200);
        assert_eq!(seen.text("state"), "revealed");
        let comparing = challenged.revealed(from_base64(&seen.text("nonce")).try_into().unwrap()).unwrap();
        let Typed::Approved(approved) = comparing.typed(&revealing.digits().to_string()) else { panic!("same digits") };
        let completion = approved.complete(&person.account_key, &person.list, world.clock.now()).unwrap();
        let body = json!({ "device_list": base64(&completion.list.encode()), "sealed": base64(&completion.sealed) });
        person.ask(world, "POST", &format!("{link}/complete"), body).await.expect(204);

        let seen = client.signed(self.device.signer(), "GET", &link, Value::Null).await.expect(200);
        let approval = halcyon_directory::link_approval::newcomer::Approval {
            device_list: Bytes::from(from_base64(&seen.text("device_list"))),
            sealed: Bytes::from(from_base64(&seen.text("sealed"))),
            push_token: seen.text("push_token").parse().unwrap(),
        };
        let linked = revealing.approved(&approval).unwrap();
        assert!(linked.account_key.to_secret().ct_eq(&person.account_key.to_secret()));
        (completion, self.device)
    }
}
