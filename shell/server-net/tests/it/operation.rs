//! What an operator meets: start, second start, bad certificates, taken ports, private listener, end (COU-56).

use std::fs;
use std::time::{Duration, Instant};

use halcyon_directory::alert::{Alert, AlertEvent, DeviceNotice};
use halcyon_server::ports::{Aftermath, AftermathId, Clock, Deed, ListChange, ListReplaced, StoredList};
use halcyon_server_net::http::routes::{Caller, Media, ROUTES};
use halcyon_server_net::serve::{self, StartError};
use halcyon_server_net::settings::{Settings, TlsSource};
use halcyon_server_store::directory::{DirectoryDb, LastShutdown};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::people::Person;
use crate::world::World;

async fn refusal(settings: Settings) -> StartError {
    match serve::start(settings).await {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

async fn private(world: &World, path: &str) -> String {
    let mut stream = TcpStream::connect(world.server().addresses().private.unwrap()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A second server on the same folder says so, and the first goes on.
#[tokio::test]
async fn a_second_server_on_the_folder_is_refused() {
    let world = World::start().await;
    let error = refusal(world.settings.clone()).await;
    assert!(matches!(error, StartError::Folder(_)));
    assert!(error.to_string().contains("another server uses"), "{error}");
    Person::register(&world, "alice@example.org", "phone").await;
}

/// A taken port is named, and the folder is free again for the next try.
#[tokio::test]
async fn a_taken_port_is_named() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::loopback(folder.path().join("data"));
    settings.https_listen = world.server().addresses().https;
    let error = refusal(settings.clone()).await;
    assert!(error.to_string().contains("HTTPS"), "{error}");
    settings.https_listen.set_port(0);
    serve::start(settings).await.unwrap().shutdown().await;
}

/// Certificate files that are missing, empty, or do not belong together are named.
#[tokio::test]
async fn bad_certificates_are_named() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let authority = world.data().join("authority");
    let mut settings = Settings::loopback(folder.path().join("data"));
    let files = |chain: &str, key: &str| TlsSource::Files { chain: authority.join(chain), key: authority.join(key) };
    for (chain, key) in [("missing.pem", "server.key"), ("server.pem", "server.pem"), ("server.pem", "authority.key")] {
        settings.tls = files(chain, key);
        let error = refusal(settings.clone()).await;
        assert!(matches!(error, StartError::Tls(_)), "{chain} {key}: {error}");
    }
    settings.tls = files("server.pem", "server.key");
    serve::start(settings).await.unwrap().shutdown().await;
}

/// A damaged database is found at the start after a crash; one of a newer program is not touched.
#[tokio::test]
async fn damaged_and_newer_stores_are_refused() {
    let mut world = World::start().await;
    world.stop().await;
    let database = world.data().join("directory.db");
    let whole = fs::read(&database).unwrap();

    let connection = rusqlite::Connection::open(&database).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = refusal(world.settings.clone()).await;
    assert!(error.to_string().contains("newer"), "{error}");

    let mut damaged = whole;
    for byte in &mut damaged[4096..8192] {
        *byte = 0x5a;
    }
    fs::write(&database, damaged).unwrap();
    let error = refusal(world.settings.clone()).await;
    assert!(error.to_string().contains("damaged"), "{error}");
}

/// `/livez`, `/readyz`, `/metrics` answer on the private listener, and not on the public one.
#[tokio::test]
async fn the_private_listener_tells_the_operator() {
    let world = World::start().await;
    Person::register(&world, "metrics-alice@example.org", "phone").await;
    assert!(private(&world, "/livez").await.starts_with("HTTP/1.1 200"));
    assert!(private(&world, "/readyz").await.ends_with("ready\n"));
    let metrics = private(&world, "/metrics").await;
    assert!(metrics.contains("halcyon_registrations_total"), "{metrics}");
    assert!(metrics.contains("route=\"/v1/registrations/finish\""), "{metrics}");
    assert!(!metrics.contains("alice"), "no handle in a label (I9)");
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(world.client().get(path).await.problem().0, 404);
    }
}

/// COU-56: a connection that says nothing does not hold up the end.
#[tokio::test]
async fn the_end_comes_soon() {
    let mut world = World::start().await;
    let addresses = world.server().addresses();
    let _silent = TcpStream::connect(addresses.https).await.unwrap();
    let _silent_too = TcpStream::connect(addresses.courier).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    world.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

/// Every endpoint of the table exists with its method, refuses strangers as the table says, and is in the document.
#[tokio::test]
async fn the_table_of_routes_is_true() {
    let world = World::start().await;
    let client = world.client();
    let answer = client.get("/v1/openapi.json").await.expect(200);
    assert_eq!(answer.headers["content-type"], "application/json");
    let document = answer.json();
    for route in ROUTES {
        let path = route.path.replace("{id}", &"0".repeat(32)).replace("{token}", &"0".repeat(64));
        let path = path.replace("{handle}", "mailto%3Ax%40example.org");
        let media = if route.request == Media::Protobuf { "application/x-protobuf" } else { "application/json" };
        let answer = client.send(client.request(route.method, &path, media, "")).await;
        let (status, route_name) = (answer.status.as_u16(), format!("{} {}", route.method, route.path));
        match route.caller {
            Caller::KeyHolder | Caller::Member | Caller::LinkParty | Caller::NewDevice => {
                assert_eq!(answer.problem(), (401, "unauthenticated".to_owned()), "{route_name}");
            }
            Caller::Anyone | Caller::VerificationHolder => {
                assert!(!matches!(status, 401 | 404 | 405 | 500..), "{route_name}: {status}");
            }
        }
        let operation = &document["paths"][route.path][route.method.to_ascii_lowercase()];
        assert_eq!(operation["summary"], route.summary, "{route_name}");
    }
    assert_eq!(document["openapi"], "3.1.0");
}

/// A client of an older TLS, or of none, gets nothing.
#[tokio::test]
async fn plain_text_is_not_answered() {
    let world = World::start().await;
    let mut stream = TcpStream::connect(world.server().addresses().https).await.unwrap();
    stream.write_all(b"GET /v1/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    assert!(!answer.windows(4).any(|bytes| bytes == b"HTTP"));
}

/// ACC-5: whoever knows the HTTPS address learns where the courier is.
#[tokio::test]
async fn the_courier_is_found() {
    let world = World::start().await;
    let about = world.client().get("/v1/server").await.expect(200);
    assert_eq!(about.text("audience"), "localhost");
    assert_eq!(about.text("courier"), format!("localhost:{}", world.server().addresses().courier.port()));
}

/// DIR-5, DIR-40: the process died between a commit and its alert; the next start sends the alert and empties the mailbox.
#[tokio::test]
async fn what_a_crash_left_undone_is_done() {
    let mut world = World::start().await;
    let mut alice = Person::register(&world, "alice@example.org", "phone").await;
    alice.link(&world, "laptop").await;
    let (phone, laptop) = (alice.devices[0].id, alice.devices[1].id);
    assert_eq!(world.alerts(laptop).await.len(), 1);

    let list = alice.list.next().without(laptop).sign(&alice.account_key, world.clock.now()).unwrap();
    let notice = DeviceNotice { device: laptop, name: "laptop".to_owned(), list_version: list.version() };
    let removed = AlertEvent::DeviceRemoved(notice);
    let alert = Alert { time: world.clock.now(), event: removed.clone() }.encode();
    let deeds = [Deed::Revoke { device: laptop }, Deed::Alert { account: alice.account, alert }];
    let aftermath =
        deeds.into_iter().zip(1..).map(|(deed, id)| Aftermath { id: AftermathId([id; 16]), deed }).collect();
    let stored = StoredList { version: list.version(), signed: list.encode() };
    let change = ListChange { account: alice.account, list: stored, removed: vec![laptop], aftermath };
    let store = DirectoryDb::open(world.data(), LastShutdown::Clean).unwrap().ports();
    assert_eq!(store.lists.replace(change).await.unwrap(), ListReplaced::Replaced);
    drop(store);

    world.open().await.unwrap();
    assert_eq!(world.alerts(phone).await.last(), Some(&removed));
    assert_eq!(world.alerts(laptop).await, []);
    let store = DirectoryDb::open(world.data(), LastShutdown::Clean).unwrap().ports();
    assert!(store.aftermath.pending().await.unwrap().is_empty());
}

/// COU-14: an address has its places on the HTTPS port too, where the machine itself is not limited.
#[tokio::test]
async fn the_machine_itself_has_all_places() {
    let world = World::start_with(|settings| settings.courier.connections_per_address = 0).await;
    world.client().get("/v1/server").await.expect(200);
}
