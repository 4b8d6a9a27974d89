//! A key that a device granted it receives for the device, over real TLS, and does nothing else (COU-20 to COU-22).

use halcyon_courier::connect::Connect;
use halcyon_courier::{ClientFrame, CloseCode, GRANT_MAX, Grant, ServerFrame, Status, Topics};
use halcyon_crypto::SigningKey;
use halcyon_server_net::courier::native::ALPN_COURIER;
use halcyon_testkit::courier::{Phone, TestDevice, Town};
use halcyon_types::Timestamp;
use rand::{SeedableRng, rngs::StdRng};
use tempfile::TempDir;

use crate::world::{HOST, Server, exporter, now};

fn key(seed: u64) -> SigningKey {
    SigningKey::generate_compact(&mut StdRng::seed_from_u64(seed))
}

/// Connects by a grant, and returns the server's answer.
macro_rules! by_grant {
    ($server:expr, $device:expr, $grant:expr, $key:expr) => {{
        let stream = $server.tls(&[ALPN_COURIER]).await.unwrap();
        let binding = exporter(&stream);
        let mut phone = Phone::new($device, stream);
        let hello = phone.hello().await;
        let whom = ($device.device, Topics::messages_and_alerts());
        let connect = Connect::sign_granted(whom, ($grant, $key), HOST, &hello, &binding, now());
        phone.write(ClientFrame::Connect(connect)).await;
        let answer = phone.frame().await;
        (phone, answer)
    }};
}

fn grant(device: &TestDevice, until: Timestamp) -> Grant {
    Grant::sign(device.device, &device.key, key(5).verifying_key(), until)
}

/// COU-22: what waited and what comes is delivered, and gone once it is acknowledged; nothing is sent, and no epoch is lost.
#[tokio::test]
async fn a_granted_key_receives_for_a_device_that_is_locked() {
    let (folder, town) = (TempDir::new().unwrap(), Town::default());
    let (alice, bob) = (town.device("alice", "phone"), town.device("bob", "phone"));
    let server = Server::start(folder.path(), &town).await;
    let (mut locked, _) = server.online_at(&bob, 4).await;
    locked.epoch = 5;
    let request = locked.request(&town, &[&alice], "before", now());
    assert_eq!(locked.send(request).await, [Status::Accepted]);
    drop(locked);

    let (mut phone, _) = server.online_at(&alice, 1).await;
    let request = phone.request(&town, &[&bob], "waited", now());
    assert_eq!(phone.send(request).await, [Status::Accepted]);
    let (mut receiver, answer) = by_grant!(server, &bob, grant(&bob, now().plus(GRANT_MAX)), &key(5));
    assert!(matches!(answer, Some(ServerFrame::Connected(_))));
    assert_eq!(receiver.texts(1).await, ["waited"]);
    let request = phone.request(&town, &[&bob], "came", now());
    assert_eq!(phone.send(request).await, [Status::Accepted]);
    assert_eq!(receiver.texts(1).await, ["came"]);
    receiver.acknowledge(2).await;
    let request = receiver.request(&town, &[&alice, &bob], "forged", now());
    assert_eq!(receiver.send(request).await, [Status::Forbidden; 2]);

    // The device itself comes back: nothing waits, and what it had shown is remembered.
    let (mut phone, told) = server.online_at(&bob, 5).await;
    assert_eq!(told, 5);
    assert!(matches!(receiver.frame().await, Some(ServerFrame::Close(close)) if close.code == CloseCode::Replaced));
    phone.keep_alive().await;
    server.shut_down().await;
}

/// COU-21: a grant of another device, for another key, that ended, or that never ends, is refused with the same answer.
#[tokio::test]
async fn a_grant_that_is_not_good_opens_nothing() {
    let (folder, town) = (TempDir::new().unwrap(), Town::default());
    let (alice, bob) = (town.device("alice", "phone"), town.device("bob", "phone"));
    let server = Server::start(folder.path(), &town).await;
    let good = now().plus(GRANT_MAX);
    let later = good.plus(halcyon_types::Duration::from_mins(1));
    let earlier = Timestamp::from_millis(now().as_millis() - 1);
    let mut answers = Vec::new();
    for (grant, by) in [
        (grant(&alice, good), key(5)),
        (grant(&bob, good), key(6)),
        (grant(&bob, good), bob.key.clone()),
        (grant(&bob, earlier), key(5)),
        (grant(&bob, later), key(5)),
    ] {
        let (_, answer) = by_grant!(server, &bob, grant, &by);
        let Some(ServerFrame::Close(close)) = answer else { panic!("refused") };
        assert_eq!(close.code, CloseCode::Unauthenticated);
        answers.push(close);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    server.shut_down().await;
}
