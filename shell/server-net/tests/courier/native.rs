//! TLS, its ALPN name and its exporter; readers that are slow; the end (COU-1, COU-11, COU-51, COU-56).

use std::time::{Duration, Instant};

use halcyon_courier::{CloseCode, Status, Topics};
use halcyon_server_net::courier::native::ALPN_COURIER;
use halcyon_testkit::courier::{Phone, Town};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::world::{HOST, Server, exporter, now};

/// COU-1, COU-13, COU-41, COU-50: a message goes from one phone to another.
#[tokio::test]
async fn a_message_arrives() {
    let (folder, town) = (TempDir::new().unwrap(), Town::default());
    let (alice, bob) = (town.device("alice", "phone"), town.device("bob", "phone"));
    let server = Server::start(folder.path(), &town).await;
    let (mut a, mut b) = (server.online(&alice).await, server.online(&bob).await);
    let hello = a.request(&town, &[&bob], "hello", now());
    assert_eq!(a.send(hello).await, [Status::Accepted]);
    assert_eq!(b.texts(1).await, ["hello"]);
    server.shut_down().await;
}

/// COU-1: whoever names another protocol, or none, does not get through the handshake.
#[tokio::test]
async fn another_alpn_is_refused_in_the_handshake() {
    let (folder, town) = (TempDir::new().unwrap(), Town::default());
    let server = Server::start(folder.path(), &town).await;
    for alpn in [&[][..], &[b"http/1.1".as_slice()], &[b"halcyon-courier/2".as_slice()]] {
        assert!(server.tls(alpn).await.is_err(), "{alpn:?}");
    }
    let stream = server.tls(&[b"http/1.1", ALPN_COURIER]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(ALPN_COURIER));
    server.shut_down().await;
}

/// COU-11: a connect that was made for one TLS connection does not work on another, even with the right nonce: whoever
/// sits between with a certificate that the device believes gets nowhere.
#[tokio::test]
async fn a_connect_is_bound_to_its_tls_connection() {
    let (folder, town) = (TempDir::new().unwrap(), Town::default());
    let alice = town.device("alice", "phone");
    let server = Server::start(folder.path(), &town).await;
    // What Alice signs is bound to her connection with the one in between.
    let to_the_one_between = server.tls(&[ALPN_COURIER]).await.unwrap();
    let relayed = server.tls(&[ALPN_COURIER]).await.unwrap();
    let alices_binding = exporter(&to_the_one_between);
    let mut relayed = Phone::new(&alice, relayed);
    let hello = relayed.hello().await;
    let refused =
        relayed.connect(HOST, &hello, &alices_binding, Topics::messages_and_alerts(), now()).await.unwrap_err();
    assert_eq!(refused.code, CloseCode::Unauthenticated);
    server.shut_down().await;
}

/// COU-51: a phone that reads slowly holds up nobody, and gets everything in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_gets_everything_in_order() {
    const MESSAGES: usize = 300;
    let (folder, town) = (TempDir::new().unwrap(), Town::default());
    let (alice, bob) = (town.device("alice", "phone"), town.device("bob", "phone"));
    let server = Server::start(folder.path(), &town).await;
    let (mut a, mut b) = (server.online(&alice).await, server.online(&bob).await);
    for n in 0..MESSAGES {
        // Slower than the allowed rate only after the burst.
        if n >= 180 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let request = a.request(&town, &[&bob], &format!("{n}:{}", "x".repeat(8_000)), now());
        assert_eq!(a.send(request).await, [Status::Accepted]);
    }
    for n in 0..MESSAGES {
        let delivery = b.delivery().await;
        let text = halcyon_testkit::courier::delivered_text(&delivery);
        assert_eq!(text.split(':').next(), Some(n.to_string().as_str()));
        b.acknowledge(delivery.seq).await;
    }
    server.shut_down().await;
}

/// COU-56: the end comes soon although a phone reads nothing and another never finished its handshake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_comes_soon() {
    let (folder, town) = (TempDir::new().unwrap(), Town::default());
    let (alice, bob) = (town.device("alice", "phone"), town.device("bob", "phone"));
    let server = Server::start(folder.path(), &town).await;
    let (mut a, _deaf) = (server.online(&alice).await, server.online(&bob).await);
    let _never_connects = server.tls(&[ALPN_COURIER]).await.unwrap();
    for _ in 0..60 {
        let request = a.request(&town, &[&bob], &"x".repeat(16_000), now());
        a.send(request).await;
    }
    let begun = Instant::now();
    server.shut_down().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(a.closed().await, CloseCode::GoingAway);
    // TLS's own good-bye came as well: nobody cut the connection.
    assert_eq!(a.hang_up().read(&mut [0; 1]).await.unwrap(), 0);
}
