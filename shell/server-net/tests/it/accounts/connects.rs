//! The courier as every caller, over both bindings (COU-11, COU-12, COU-55).

use futures_util::{SinkExt, StreamExt};
use halcyon_courier::connect::{ChannelBinding, Connect, EXPORTER_LABEL, Hello, Introduction};
use halcyon_courier::{ClientFrame, ServerFrame, Topics};
use halcyon_server::ports::Clock;
use halcyon_server_net::courier::native::ALPN_COURIER;
use halcyon_server_net::courier::websocket::SUBPROTOCOL;
use halcyon_types::{Duration, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::callers::{Caller, Cast, Key};
use crate::world::World;

/// What becomes of each caller: connected, or the code of the refusal.
const TABLE: &[(Caller, &str)] = &[
    (Caller::Right, "connected"),
    (Caller::Sibling, "connected"),
    // Until it was approved, a device has no mailbox.
    (Caller::Newcomer, "UNAUTHENTICATED"),
    (Caller::Other, "connected"),
    (Caller::Revoked, "UNAUTHENTICATED"),
    (Caller::Stranger, "UNAUTHENTICATED"),
    // Whoever begins with something else.
    (Caller::Nobody, "MALFORMED_FRAME"),
    (Caller::Expired, "CLOCK_SKEW"),
    (Caller::Foreign, "WRONG_AUDIENCE"),
    (Caller::Replayed, "UNAUTHENTICATED"),
    (Caller::Forged, "UNAUTHENTICATED"),
];

/// One connection of either binding, frame by frame.
enum Line {
    Native(Box<TlsStream<TcpStream>>),
    Web(Box<WebSocketStream<TlsStream<TcpStream>>>),
}

impl Line {
    async fn native(world: &World) -> Self {
        let address = world.server().addresses().courier;
        Self::Native(Box::new(world.client().tls(address, Some(ALPN_COURIER)).await))
    }

    async fn web(world: &World) -> Self {
        let address = world.server().addresses().https;
        let mut request = format!("wss://localhost:{}/v1/courier", address.port()).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
        let stream = world.client().tls(address, None).await;
        Self::Web(Box::new(tokio_tungstenite::client_async(request, stream).await.unwrap().0))
    }

    fn binding(&self) -> ChannelBinding {
        match self {
            Self::Native(stream) => {
                let exported = stream.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None);
                ChannelBinding::Exporter(exported.unwrap())
            }
            Self::Web(_) => ChannelBinding::None,
        }
    }

    async fn say(&mut self, frame: ClientFrame) {
        match self {
            Self::Native(stream) => {
                let mut bytes = bytes::BytesMut::new();
                frame.write_to(&mut bytes);
                stream.write_all(&bytes).await.unwrap();
                stream.flush().await.unwrap();
            }
            Self::Web(socket) => socket.send(Message::Binary(frame.encode())).await.unwrap(),
        }
    }

    async fn hear(&mut self) -> ServerFrame {
        let bytes = match self {
            Self::Native(stream) => {
                let length = stream.read_u32().await.unwrap();
                let mut frame = vec![0; length as usize];
                stream.read_exact(&mut frame).await.unwrap();
                frame.into()
            }
            Self::Web(socket) => match socket.next().await.unwrap().unwrap() {
                Message::Binary(frame) => frame,
                other => panic!("not a frame: {other:?}"),
            },
        };
        ServerFrame::decode(bytes).unwrap()
    }

    async fn hello(&mut self) -> Hello {
        match self.hear().await {
            ServerFrame::Hello(hello) => hello,
            other => panic!("not a hello: {other:?}"),
        }
    }

    async fn outcome(&mut self) -> String {
        match self.hear().await {
            ServerFrame::Connected(_) => "connected".to_owned(),
            ServerFrame::Close(close) => close.code.as_str_name().to_owned(),
            other => panic!("neither in nor out: {other:?}"),
        }
    }
}

fn connect(key: &Key, audience: &str, hello: &Hello, binding: &ChannelBinding, at: Timestamp) -> ClientFrame {
    let introduction = Introduction { device: key.device, epoch: 0, topics: Topics::messages_and_alerts() };
    ClientFrame::Connect(Connect::sign(introduction, &key.key, audience, hello, binding, at))
}

/// Connects as somebody. `recorded` is a connect of the right one that was taken on another connection.
async fn attempt(world: &World, cast: &Cast, caller: Caller, mut line: Line, recorded: ClientFrame) -> String {
    let (hello, binding, now) = (line.hello().await, line.binding(), world.clock.now());
    let key = cast.key_of(caller);
    let frame = match caller {
        Caller::Nobody => ClientFrame::KeepAlive { id: 1 },
        Caller::Expired => connect(&key, "localhost", &hello, &binding, now.minus(Duration::from_mins(6))),
        Caller::Foreign => connect(&key, "mallory.example", &hello, &binding, now),
        Caller::Replayed => recorded,
        _ => connect(&key, "localhost", &hello, &binding, now),
    };
    line.say(frame).await;
    line.outcome().await
}

/// COU-11, COU-12, COU-55: who may connect, and what the others hear.
#[tokio::test]
async fn the_courier_as_every_caller() {
    let world = World::start().await;
    let cast = Cast::assemble(&world).await;
    assert_eq!(TABLE.iter().map(|row| row.0).collect::<Vec<_>>(), Caller::ALL, "one row a caller");
    let right = cast.key_of(Caller::Right);
    for native in [true, false] {
        for (caller, expected) in TABLE {
            let line = async || if native { Line::native(&world).await } else { Line::web(&world).await };
            let mut first = line().await;
            let hello = first.hello().await;
            let recorded = connect(&right, "localhost", &hello, &first.binding(), world.clock.now());
            first.say(recorded.clone()).await;
            assert_eq!(first.outcome().await, "connected");
            let found = attempt(&world, &cast, *caller, line().await, recorded).await;
            assert_eq!(found, *expected, "{caller:?}, {} binding", if native { "native" } else { "WebSocket" });
        }
    }
}

/// COU-12: a device that nobody knows and a signature that is wrong are told the same, byte for byte.
#[tokio::test]
async fn strangers_and_forgers_look_alike_to_the_courier() {
    let world = World::start().await;
    let cast = Cast::assemble(&world).await;
    let mut refusals = Vec::new();
    for caller in [Caller::Stranger, Caller::Forged, Caller::Revoked, Caller::Newcomer] {
        let mut line = Line::native(&world).await;
        let (hello, binding) = (line.hello().await, line.binding());
        line.say(connect(&cast.key_of(caller), "localhost", &hello, &binding, world.clock.now())).await;
        refusals.push(line.hear().await.encode());
    }
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "{refusals:?}");
}
