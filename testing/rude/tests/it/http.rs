//! Requests that are too long, too deep or too many (ACC-3, COU-16).

use std::time::{Duration, Instant};

use halcyon_rude::rudeness::deep_json_request;
use halcyon_rude::wire::HOME;

use crate::world::World;

/// ACC-3: each excess has its status, and is refused before it is in memory.
#[tokio::test]
async fn excess_has_its_status() {
    let world = World::start().await;
    let head = |more: &str| format!("POST /v1/verifications HTTP/1.1\r\nhost: localhost\r\n{more}\r\n").into_bytes();
    let long_path = [b"GET /".as_slice(), &[b'a'; 20_000]].concat();
    let many_headers: String = (0..200).map(|n| format!("x-{n}: a\r\n")).collect();
    let chunks = [head("transfer-encoding: chunked\r\n"), b"4000\r\n".to_vec(), vec![b' '; 0x4000], b"\r\n".to_vec()];
    let chunks = [&chunks[0][..], &[&chunks[1][..], &chunks[2], &chunks[3]].concat().repeat(8)].concat();
    // Its length is enough to be refused; whoever wrote all of it would be hung up on in the middle.
    let deep = [head("content-length: 100000\r\n"), vec![b'['; 1_000]].concat();
    let cases: [(&str, Vec<u8>, u16); 8] = [
        ("a body of 4 GiB", head("content-length: 4294967296\r\n"), 413),
        ("a body without end", chunks, 413),
        ("a path of 20 kB", long_path, 431),
        ("a header of 20 kB", head(&format!("x: {}\r\n", "a".repeat(20_000))), 431),
        ("200 headers", head(&many_headers), 431),
        ("100,000 lists in one another", deep, 413),
        ("60,000 lists in one another", deep_json_request(), 400),
        ("two lengths", head("content-length: 5\r\ncontent-length: 6\r\n"), 400),
    ];
    for (what, bytes, expected) in cases {
        let mut line = world.way.https(HOME).await.unwrap();
        // It may hang up while this still speaks.
        let _ = line.write(&bytes).await;
        let (status, _) = line.answer().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(status == expected || (expected == 431 && status == 414), "{what}: {status}");
    }
    let groups = [0x9b, 0x06].repeat(30_000);
    let media = "application/x-protobuf";
    let (status, _) = world.alice.signed(&world.way, "POST", "/v1/lookup", media, &groups).await.unwrap();
    assert_eq!(status, 400, "groups in one another");
    world.is_well().await;
}

/// COU-16: who asks faster than a client does gets all answers, no faster than the rate.
#[tokio::test]
async fn a_flood_of_requests_is_slowed_down() {
    let world = World::start().await;
    let mut line = world.way.https(HOME).await.unwrap();
    let begun = Instant::now();
    line.write(&b"GET /v1/server HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(140)).await.unwrap();
    for number in 1..=140 {
        assert_eq!(line.answer().await.unwrap().0, 200);
        if number == 90 {
            assert!(
                begun.elapsed() < Duration::from_millis(3_500),
                "who just came has the whole burst: {:?}",
                begun.elapsed()
            );
        }
    }
    // A hundred at once, then twenty a second.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_900), "{took:?}");
    world.is_well().await;
}
