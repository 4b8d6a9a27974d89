//! The WebSocket binding (COU-2, COU-3, COU-11).

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use halcyon_courier::connect::{ChannelBinding, Connect, Introduction};
use halcyon_courier::{ClientFrame, CloseCode, ServerFrame, Topics};
use halcyon_server_net::courier::websocket::SUBPROTOCOL;
use halcyon_testkit::courier::{TestDevice, Town, delivered_text};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::world::{HOST, Server, now};

type Socket = WebSocketStream<TcpStream>;

async fn dial(server: &Server, subprotocol: Option<&str>) -> Result<Socket, Error> {
    let mut request = format!("ws://{}/v1/courier", server.http).into_client_request()?;
    if let Some(subprotocol) = subprotocol {
        request.headers_mut().insert("sec-websocket-protocol", subprotocol.parse().unwrap());
    }
    let stream = TcpStream::connect(server.http).await.unwrap();
    Ok(tokio_tungstenite::client_async(request, stream).await?.0)
}

async fn frame(socket: &mut Socket) -> ServerFrame {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Binary(frame) => return ServerFrame::decode(frame).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("not a frame: {other:?}"),
        }
    }
}

async fn online(server: &Server, owner: &TestDevice) -> Socket {
    let mut socket = dial(server, Some(SUBPROTOCOL)).await.unwrap();
    let ServerFrame::Hello(hello) = frame(&mut socket).await else { panic!("no hello") };
    let introduction = Introduction { device: owner.device, epoch: 0, topics: Topics::messages_and_alerts() };
    let connect = Connect::sign(introduction, &owner.key, HOST, &hello, &ChannelBinding::None, now());
    socket.send(Message::Binary(ClientFrame::Connect(connect).encode())).await.unwrap();
    assert!(matches!(frame(&mut socket).await, ServerFrame::Connected(_)));
    socket
}

/// COU-2, COU-11: a browser sends to a phone and back, over one courier.
#[tokio::test]
async fn both_bindings_meet() {
    let (folder, town) = (TempDir::new().unwrap(), Town::default());
    let (alice, bob) = (town.device("alice", "phone"), town.device("bob", "browser"));
    let server = Server::start(folder.path(), &town).await;
    let mut phone = server.online(&alice).await;
    let mut browser = online(&server, &bob).await;

    let request = phone.request(&town, &[&bob], "to the browser", now());
    phone.send(request).await;
    let ServerFrame::Deliver(delivery) = frame(&mut browser).await else { panic!("no delivery") };
    assert_eq!(delivered_text(&delivery), "to the browser");
    browser.send(Message::Binary(ClientFrame::Ack { seq: delivery.seq }.encode())).await.unwrap();

    let mut request = phone.request(&town, &[&alice], "to the phone", now());
    request.sender_handle = bob.handle.clone();
    request.destinations[0].session_token =
        Town::session_token(bob.account, alice.account, now().plus(halcyon_types::Duration::from_days(1)));
    browser.send(Message::Binary(ClientFrame::Send(request.into_unchecked()).encode())).await.unwrap();
    assert!(matches!(frame(&mut browser).await, ServerFrame::Sent(_)));
    assert_eq!(phone.texts(1).await, ["to the phone"]);
    server.shut_down().await;
}

/// COU-2, COU-3: a text, or more than a frame may be, ends the connection and says why.
#[tokio::test]
async fn only_binary_messages_of_a_frames_size() {
    let (folder, town) = (TempDir::new().unwrap(), Town::default());
    let bob = town.device("bob", "browser");
    let server = Server::start(folder.path(), &town).await;
    let too_large = Message::Binary(Bytes::from(vec![0; 256 * 1024 + 1]));
    for (message, code) in [(Message::text("hello"), CloseCode::MalformedFrame), (too_large, CloseCode::FrameTooLarge)]
    {
        let mut browser = online(&server, &bob).await;
        browser.send(message).await.unwrap();
        let ServerFrame::Close(close) = frame(&mut browser).await else { panic!("not closed") };
        assert_eq!(close.code, code);
    }
    server.shut_down().await;
}

/// COU-2: without the subprotocol there is no upgrade.
#[tokio::test]
async fn the_subprotocol_is_required() {
    let (folder, town) = (TempDir::new().unwrap(), Town::default());
    let server = Server::start(folder.path(), &town).await;
    for subprotocol in [None, Some("chat"), Some("halcyon-courier.2")] {
        let Err(Error::Http(refusal)) = dial(&server, subprotocol).await else { panic!("upgraded") };
        assert_eq!(refusal.status(), 426);
    }
    server.shut_down().await;
}
