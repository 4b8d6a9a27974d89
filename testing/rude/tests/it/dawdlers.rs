//! Clients that take their time: each has so much, and then its place is free (COU-3, COU-14, COU-16).

use std::time::{Duration, Instant};

use halcyon_courier::CloseCode;
use halcyon_rude::server::Setup;
use halcyon_rude::wire::{End, HOME, tcp, until_closed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::World;

const BYTE_EVERY: Duration = Duration::from_millis(200);

/// Says something byte by byte until `ended`, and returns how long that took.
async fn drip<T>(
    mut stream: impl tokio::io::AsyncWrite + Unpin,
    bytes: &[u8],
    ended: impl Future<Output = anyhow::Result<T>>,
) -> (Duration, T) {
    let begun = Instant::now();
    let dripping = async {
        for byte in bytes.iter().cycle() {
            if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
                break;
            }
            tokio::time::sleep(BYTE_EVERY).await;
        }
        std::future::pending().await
    };
    let ended = tokio::select! { ended = ended => ended.unwrap(), () = dripping => unreachable!() };
    (begun.elapsed(), ended)
}

fn within(what: &str, took: Duration, seconds: std::ops::Range<u64>) {
    assert!(seconds.contains(&took.as_secs()), "{what}: left after {took:?}");
}

/// COU-14, COU-16, ACC-3: all of them at the same time; nobody else notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_slow_ones_are_left() {
    let world =
        World::with(Setup::default().with("limits-handshake-timeout-s", 4).with("limits-frame-timeout-s", 5)).await;
    let addresses = world.way.addresses;
    let hello = [&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 512]].concat();
    let tls = async |port, what, seconds| {
        let (mut reader, writer) = tcp(HOME, port).await.unwrap().into_split();
        let ended = async {
            let mut said = Vec::new();
            // A reset is an end as well.
            let _ = tokio::time::timeout(Duration::from_secs(20), reader.read_to_end(&mut said)).await?;
            Ok(())
        };
        within(what, drip(writer, &hello, ended).await.0, seconds);
    };
    let silent = async {
        let begun = Instant::now();
        let mut stream = tcp(HOME, addresses.courier).await.unwrap();
        until_closed(&mut stream, Duration::from_secs(20)).await.unwrap();
        within("silence", begun.elapsed(), 3..7);
    };
    let stranger = async {
        let begun = Instant::now();
        let mut line = world.way.courier(HOME).await.unwrap();
        line.write(&[0, 0, 0, 99, 0x12]).await.unwrap();
        assert_eq!(line.end().await.unwrap(), End::Said(CloseCode::HandshakeTimeout));
        within("half a connect", begun.elapsed(), 3..7);
    };
    let frame = async {
        let mut alice = world.alice().await;
        alice.line.write(&[0, 0, 0xff, 0xff]).await.unwrap();
        let begun = Instant::now();
        let mut line = alice.line;
        loop {
            line.write(&[0x0a]).await.unwrap();
            if let Ok(end) = tokio::time::timeout(BYTE_EVERY, line.end()).await {
                assert_eq!(end.unwrap(), End::Said(CloseCode::Idle));
                break;
            }
        }
        within("a frame", begun.elapsed(), 4..8);
    };
    let http = async |what: &'static str, said: &'static [u8], byte: u8, status: &'static str, seconds| {
        let mut line = world.way.https(HOME).await.unwrap();
        line.write(said).await.unwrap();
        let begun = Instant::now();
        let mut answer = Vec::new();
        loop {
            let _ = line.stream.write_all(&[byte]).await;
            let _ = line.stream.flush().await;
            let mut some = [0; 1024];
            match tokio::time::timeout(BYTE_EVERY, line.stream.read(&mut some)).await {
                Ok(Ok(read)) if read > 0 => answer.extend_from_slice(&some[..read]),
                Ok(_) => break,
                Err(_) => {}
            }
            if !answer.is_empty() {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(35), "{what} goes on");
        }
        within(what, begun.elapsed(), seconds);
        assert!(String::from_utf8_lossy(&answer).starts_with(status), "{what}: {}", String::from_utf8_lossy(&answer));
    };
    let deaf = async {
        let mut line = world.way.deaf_https().await.unwrap();
        let ask = b"GET /v1/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
        let begun = Instant::now();
        // Writing fails when the server has hung up.
        let asking = async { while line.stream.write_all(&ask).await.is_ok() {} };
        assert!(tokio::time::timeout(Duration::from_secs(38), asking).await.is_ok(), "answers that nobody takes go on");
        within("a reader that takes nothing", begun.elapsed(), 30..38);
    };
    tokio::join!(
        deaf,
        tls(addresses.courier, "a hello to the courier", 3..7),
        tls(addresses.https, "a hello to HTTPS", 9..13),
        silent,
        stranger,
        frame,
        http("a request line", b"GET /v1/ser", b'a', "", 28..33),
        http("a head", b"GET /v1/server HTTP/1.1\r\nhost: localhost\r\nx: ", b'a', "", 28..33),
        http(
            "a body",
            b"POST /v1/verifications HTTP/1.1\r\nhost: localhost\r\ncontent-length: 60000\r\n\r\n",
            b' ',
            "HTTP/1.1 408",
            18..23
        ),
    );
    world.is_well().await;
}
