//! A whole server without its listeners, in one thread, on a folder of its own.
//!
//! Owns the runtime and the order of a request and its answer. Its clock stands still.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, header},
};
use halcyon_crypto::{
    opaque::{ClientRegistration, PasswordRecord},
    password::PasswordParams,
};
use halcyon_directory::SignedList;
use halcyon_server::{
    accounts::{Limits, verification::Place},
    ports::{
        Clock, DirectoryStore, MailError, Mailer, NewAccount, NewDevice, NewVerification, OutgoingMail, Random,
        StoredList, StoredPrekey, VerificationId, VerificationPurpose, VerifyAttempt,
    },
    secrets::ServerSecrets,
};
use halcyon_server_net::{
    http::{self, Api, server::About},
    serve::{
        World,
        assembly::{self, Assembled, Parts},
    },
};
use halcyon_server_store::{
    Execution,
    directory::{DirectoryDb, LastShutdown, Options},
};
use halcyon_testkit::mailboxes::MemoryMailboxes;
use halcyon_types::{Handle, SuiteId, Timestamp};
use http_body_util::BodyExt as _;
use rand::{RngCore as _, rngs::StdRng};
use tokio::{
    runtime::{Builder, Runtime},
    task::{JoinSet, LocalSet},
};
use tower::ServiceExt as _;

use crate::people::{ALICE, NOW, SERVER, rng};

/// A full answer with a list is far below.
const ANSWER_BYTES_MAX: usize = 1 << 20;

pub(super) struct Server {
    runtime: Runtime,
    tasks: LocalSet,
    router: Router,
    _mails: JoinSet<()>,
    _folder: tempfile::TempDir,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) media: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        NOW
    }
}

struct SeededRandom(Mutex<StdRng>);

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap().fill_bytes(bytes);
    }
}

/// Looks at mails instead of sending them.
struct MailReader;

#[async_trait::async_trait]
impl Mailer for MailReader {
    async fn send(&self, mail: OutgoingMail) -> Result<(), MailError> {
        assert!(!mail.subject.contains(char::is_control), "a subject is one line");
        assert!(mail.text.chars().all(|letter| letter == '\n' || !letter.is_control()), "a mail is plain text");
        assert_eq!(Handle::parse(mail.to.as_uri()).as_ref(), Ok(&mail.to), "a mail is for one address");
        Ok(())
    }
}

impl Server {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let tasks = LocalSet::new();
        let (router, mails) = tasks.block_on(&runtime, assembled(folder.path()));
        Self { runtime, tasks, router, _mails: mails, _folder: folder }
    }

    pub(super) fn answer(&self, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 40_000))));
        self.tasks.block_on(&self.runtime, async {
            let response = self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
            let (parts, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes().to_vec();
            assert!(body.len() <= ANSWER_BYTES_MAX, "an answer is bounded");
            let media = parts.headers.get(header::CONTENT_TYPE).map_or("", |media| media.to_str().unwrap());
            Answer { status: parts.status.as_u16(), media: media.to_owned(), body }
        })
    }
}

async fn assembled(folder: &std::path::Path) -> (Router, JoinSet<()>) {
    let options = Options { execution: Execution::InPlace { sync: std::time::Duration::ZERO }, ..Options::default() };
    let store = DirectoryDb::open_with(folder, LastShutdown::Clean, &options).unwrap().ports();
    let secrets = Arc::new(ServerSecrets::generate(&mut rng(900)));
    register_alice(&store, &secrets).await;
    let world = World { clock: Arc::new(StandingClock), random: Arc::new(SeededRandom(Mutex::new(rng(901)))) };
    // What limits would refuse, fuzzing is to reach.
    let many = u32::MAX / 4;
    let limits = Limits {
        verifications_per_address_hour: many,
        sign_ins_per_address_hour: many,
        verifications_per_handle_hour: many,
        sign_ins_per_handle_hour: many,
        ..Limits::default()
    };
    let Assembled { courier: _, services, mails } = assembly::assemble(Parts {
        store,
        mailboxes: Arc::new(MemoryMailboxes::new(100, 1 << 20)),
        secrets,
        mailer: Arc::new(MailReader),
        place: Place { host: SERVER.into(), public_url: format!("https://{SERVER}") },
        limits,
        courier: halcyon_courier::Limits::default(),
        world,
    })
    .await
    .unwrap();
    let about = About { audience: SERVER.into(), courier: format!("{SERVER}:5223") };
    let api = Api { services, clock: Arc::new(StandingClock), about: Arc::new(about) };
    (http::router(api, Router::new()), mails)
}

/// Puts Alice's account with her phone into the store, as a registration leaves it.
async fn register_alice(store: &DirectoryStore, secrets: &ServerSecrets) {
    let verification = VerificationId([1; 16]);
    let new = NewVerification {
        id: verification,
        handle: ALICE.handle.clone(),
        purpose: VerificationPurpose::Registration,
        code_mac: [2; 32],
        link_hash: [3; 32],
        expires: NOW.plus(halcyon_types::Duration::from_days(1)),
    };
    store.verifications.begin(new).await.unwrap();
    store.verifications.verify(verification, VerifyAttempt::Link, 5, 5, NOW, Vec::new()).await.unwrap();
    let phone = &ALICE.phone;
    let list = SignedList::first(&ALICE.key, phone.entry.clone(), NOW).unwrap();
    let record = bytes::Bytes::copy_from_slice(phone.keys.prekeys.record());
    let created = store.accounts.create(NewAccount {
        account: ALICE.account(),
        account_key: *ALICE.key.verifying_key().compact().as_bytes(),
        password: password(secrets),
        verification,
        list: StoredList { version: 1, signed: list.encode() },
        device: NewDevice {
            device: phone.id(),
            key: *phone.keys.device.verifying_key().compact().as_bytes(),
            push_token: phone.push_token(),
            prekeys: vec![StoredPrekey { suite: SuiteId::PAIR_EC.as_u32(), record }],
        },
        created: NOW,
    });
    assert_eq!(created.await.unwrap(), halcyon_server::ports::Created::Created);
}

/// A password record as a registration makes it, with as little stretching as there can be.
fn password(secrets: &ServerSecrets) -> bytes::Bytes {
    let (registration, request) = ClientRegistration::start(&mut rng(902), b"correct horse").unwrap();
    let response = secrets.opaque.registration_response(&request, ALICE.account().as_bytes()).unwrap();
    let registered = registration.finish(&mut rng(903), &response, PasswordParams::dangerous_cheap()).unwrap();
    let record = PasswordRecord::from_upload(&registered.upload).unwrap();
    bytes::Bytes::copy_from_slice(record.to_secret_bytes().expose())
}
