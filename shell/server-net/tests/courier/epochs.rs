//! A copy of a device is found out by the server that its original used, also after that server died (COU-11, COU-17 to COU-19).

use bytes::Bytes;
use halcyon_courier::connect::{Connect, Introduction};
use halcyon_courier::{ClientFrame, CloseCode, Status, Topics, wire};
use halcyon_server_net::courier::native::ALPN_COURIER;
use halcyon_testkit::courier::{Phone, Town};
use prost::Message;
use tempfile::TempDir;

use crate::durable::copy;
use crate::world::{HOST, Server, exporter, now};

/// COU-18, COU-19: Alice's phone sends at 9. A copy of it that is at 7 is told 9: by the same server, by the one that is
/// started on what this one leaves when it is killed after its answer, and after an orderly end; and what copies show lowers
/// nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_found_out_whatever_became_of_the_server() {
    let (folder, town) = (TempDir::new().unwrap(), Town::default());
    let (alice, bob) = (town.device("alice", "phone"), town.device("bob", "phone"));
    let server = Server::start(folder.path(), &town).await;
    let (mut phone, told) = server.online_at(&alice, 8).await;
    assert_eq!(told, 0);
    phone.epoch = 9;
    let request = phone.request(&town, &[&bob], "hello", now());
    assert_eq!(phone.send(request).await, [Status::Accepted]);
    let killed = TempDir::new().unwrap();
    copy(folder.path(), killed.path());

    assert_eq!(server.online_at(&alice, 7).await.1, 9);
    server.shut_down().await;
    for folder in [&killed, &folder] {
        for _ in 0..2 {
            let server = Server::start(folder.path(), &town).await;
            let (mut restored, told) = server.online_at(&alice, 7).await;
            assert_eq!(told, 9);
            let request = restored.request(&town, &[&bob], "from the copy", now());
            assert_eq!(restored.send(request).await, [Status::Accepted]);
            server.shut_down().await;
        }
    }
}

/// COU-19: at every answer the epoch that was shown with the send is in the folder, as a kill in that moment leaves it,
/// while other sends are being written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_never_ahead_of_its_epoch() {
    let (folder, town) = (TempDir::new().unwrap(), Town::default());
    let (alice, bob) = (town.device("alice", "phone"), town.device("bob", "phone"));
    let server = Server::start(folder.path(), &town).await;
    let (mut phone, _) = server.online_at(&alice, 1).await;
    for n in 1..=60 {
        phone.epoch = 100 + n;
        let request = phone.request(&town, &[&bob], &n.to_string(), now());
        phone.write(ClientFrame::Send(request.into_unchecked())).await;
        if n % 15 != 0 {
            continue;
        }
        // The requests are numbered from 1, as the epochs are from 101.
        let answered = 100 + phone.sent().await.id;
        let killed = TempDir::new().unwrap();
        copy(folder.path(), killed.path());
        let after = Server::start(killed.path(), &town).await;
        let (_, told) = after.online_at(&alice, 1).await;
        assert!(told >= answered, "the server remembers {told} after it answered {answered}");
        after.shut_down().await;
    }
    server.shut_down().await;
}

/// COU-11: a copy that shows an epoch which its key did not sign is not let in.
#[tokio::test]
async fn an_epoch_is_signed() {
    let (folder, town) = (TempDir::new().unwrap(), Town::default());
    let alice = town.device("alice", "phone");
    let server = Server::start(folder.path(), &town).await;
    for (shown, code) in [(9, None), (10, Some(CloseCode::Unauthenticated)), (0, Some(CloseCode::Unauthenticated))] {
        let stream = server.tls(&[ALPN_COURIER]).await.unwrap();
        let binding = exporter(&stream);
        let mut phone = Phone::new(&alice, stream);
        let hello = phone.hello().await;
        let introduction = Introduction { device: alice.device, epoch: 9, topics: Topics::messages_and_alerts() };
        let signed = Connect::sign(introduction, &alice.key, HOST, &hello, &binding, now());
        let mut frame = wire::Frame::decode(ClientFrame::Connect(signed).encode()).unwrap();
        let Some(wire::frame::Body::Connect(connect)) = &mut frame.body else { unreachable!() };
        connect.epoch = shown;
        phone.write(ClientFrame::decode(Bytes::from(frame.encode_to_vec())).unwrap()).await;
        match code {
            Some(code) => assert_eq!(phone.closed().await, code),
            None => phone.keep_alive().await,
        }
    }
    server.shut_down().await;
}
