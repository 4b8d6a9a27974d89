//! Frames that lie, that never end, and that come too fast (COU-3, COU-14, COU-16, COU-51).

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use halcyon_courier::{ClientFrame, CloseCode, ServerFrame};
use halcyon_rude::rudeness::deep_frame;
use halcyon_rude::server::Setup;
use halcyon_rude::wire::{End, HOME};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::World;

/// COU-3, COU-14: a length is believed before there is memory for it, and a stranger's is shorter.
#[tokio::test]
async fn lengths_that_lie_are_refused() {
    let world = World::start().await;
    for (length, by_stranger, by_device) in [
        (u32::MAX, CloseCode::FrameTooLarge, Some(CloseCode::FrameTooLarge)),
        (256 * 1024 + 1, CloseCode::FrameTooLarge, Some(CloseCode::FrameTooLarge)),
        // Less than a frame may have, and more than a connect has.
        (256 * 1024, CloseCode::FrameTooLarge, None),
        (4 * 1024 + 1, CloseCode::FrameTooLarge, None),
    ] {
        let mut stranger = world.way.courier(HOME).await.unwrap();
        stranger.write(&length.to_be_bytes()).await.unwrap();
        assert_eq!(stranger.end().await.unwrap(), End::Said(by_stranger), "{length}");
        if let Some(code) = by_device {
            let mut alice = world.alice().await;
            alice.line.write(&length.to_be_bytes()).await.unwrap();
            assert_eq!(alice.line.end().await.unwrap(), End::Said(code), "{length}");
        }
    }
    world.is_well().await;
}

/// COU-3: 100,000 groups in one another are not followed to their end.
#[tokio::test]
async fn deep_nesting_is_malformed() {
    let world = World::start().await;
    for _ in 0..20 {
        let mut alice = world.alice().await;
        alice.line.write(&deep_frame()).await.unwrap();
        assert_eq!(alice.line.end().await.unwrap(), End::Said(CloseCode::MalformedFrame));
    }
    world.is_well().await;
}

/// COU-16: frames faster than allowed are answered, all of them and in order, but no faster than the rate; others notice
/// nothing.
#[tokio::test]
async fn a_flood_of_frames_is_slowed_down() {
    let world = World::with(Setup::default().with("limits-frames-per-s", 500).with("limits-frames-burst", 500)).await;
    let mut rude = world.alice().await;
    let mut frames = BytesMut::new();
    (0..1_500).for_each(|id| ClientFrame::KeepAlive { id }.write_to(&mut frames));
    let begun = Instant::now();
    rude.line.write(&frames).await.unwrap();
    for expected in 0..1_500 {
        assert_eq!(rude.line.frame().await.unwrap(), Some(ServerFrame::KeepAliveAnswer { id: expected }));
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_500), "1,000 frames over the burst at 500 a second took {took:?}");
    world.is_well().await;
}

/// COU-16, COU-51: a device that floods and reads nothing is read no further, and costs what its buffers cost.
#[tokio::test]
async fn a_flood_without_reading_stays_in_the_network() {
    let world = World::start().await;
    let mut rude = world.alice().await;
    let mut frames = BytesMut::new();
    (0..20_000).for_each(|id| ClientFrame::KeepAlive { id }.write_to(&mut frames));
    let flood = async {
        loop {
            rude.line.stream.write_all(&frames).await.unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(4), flood).await.is_err(), "the network never filled up");
    world.is_small().await;
    drop(rude);
    world.is_well().await;
}

/// COU-51: who reads nothing has a window of deliveries under way, and the rest waits on disk.
#[tokio::test]
async fn a_device_that_reads_nothing_costs_a_window() {
    let world = World::start().await;
    let _deaf = world.bob.online(&world.way).await.unwrap();
    let mut alice = world.alice().await;
    let payload = Bytes::from(vec![7; 16_000]);
    for id in 0..200 {
        alice.send(&world.alice, &world.to_bob, id, payload.clone()).await.unwrap();
    }
    world.is_small().await;
}

/// COU-4: a connection that ended on one side is over, and what it opened is closed.
#[tokio::test]
async fn half_closed_connections_end() {
    let world = World::start().await;
    for _ in 0..50 {
        let mut stranger = world.way.courier(HOME).await.unwrap();
        stranger.stream.get_mut().0.shutdown().await.unwrap();
        stranger.until_closed(Duration::from_secs(5)).await.unwrap();
        let mut alice = world.alice().await;
        alice.line.stream.get_mut().0.shutdown().await.unwrap();
        let mut rest = [0; 64];
        while alice.line.stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
    }
    world.is_well().await;
}
