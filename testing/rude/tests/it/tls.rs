//! Handshakes that are none (COU-1, COU-14).

use std::time::{Duration, Instant};

use halcyon_rude::wire::{HOME, tcp, until_closed};
use tokio::io::AsyncWriteExt as _;

use crate::world::World;

/// COU-1, COU-14: whatever is said instead of TLS, both ports hang up at once, and without a word of ours.
#[tokio::test]
async fn who_does_not_speak_tls_is_left() {
    let world = World::start().await;
    let noise: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let tls_1_2 = [&[22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3][..], &[7; 32], &[0, 0, 2, 0xc0, 0x2f, 1, 0]].concat();
    let cases: [(&str, &[u8]); 6] = [
        ("plain HTTP", b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"),
        ("noise", &noise),
        ("a record that is too long", &[22, 3, 1, 0xff, 0xff]),
        ("TLS 1.2", &tls_1_2),
        ("SSL 2", &[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10, 1, 0, 0x80]),
        ("application data first", &[23, 3, 3, 0, 2, 7, 7]),
    ];
    for (what, bytes) in cases {
        for port in [world.way.addresses.courier, world.way.addresses.https] {
            let mut stream = tcp(HOME, port).await.unwrap();
            // It may hang up while this still speaks.
            let _ = stream.write_all(bytes).await;
            let begun = Instant::now();
            let said = until_closed(&mut stream, Duration::from_secs(15)).await.unwrap();
            assert!(begun.elapsed() < Duration::from_secs(2), "{what}: {:?}", begun.elapsed());
            assert!(said.is_empty() || said[0] == 21, "{what}: only a TLS alert may come: {said:02x?}");
        }
    }
    world.is_well().await;
}

/// COU-14: a second hello, a lone fragment or a flood of key updates inside a good connection ends that one alone.
#[tokio::test]
async fn oddities_inside_tls_end_one_connection() {
    let world = World::start().await;
    let renegotiation = [&[22, 3, 3, 0, 48, 1, 0, 0, 44, 3, 3][..], &[7; 41]].concat();
    for bytes in [&renegotiation[..], &[20, 3, 3, 0, 1, 1], &[23, 3, 3, 0x40, 0x00], &[21, 3, 3, 0, 2, 1, 0]] {
        let mut alice = world.alice().await;
        // Below TLS, in clear.
        alice.line.stream.get_mut().0.write_all(bytes).await.unwrap();
        alice.line.stream.get_mut().0.shutdown().await.unwrap();
        alice.line.until_closed(Duration::from_secs(5)).await.unwrap();
    }
    let mut alice = world.alice().await;
    for _ in 0..20_000 {
        // The server may have had enough.
        if alice.line.stream.get_mut().1.refresh_traffic_keys().is_err() || alice.line.stream.flush().await.is_err() {
            break;
        }
    }
    drop(alice);
    world.is_well().await;
}
