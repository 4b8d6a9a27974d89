//! Crowds at the door: below and above every limit, from one address and from everywhere (COU-14).

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use halcyon_courier::CloseCode;
use halcyon_rude::citizen::{Binding, Citizen};
use halcyon_rude::rudeness::{RUDE_HOME, somewhere};
use halcyon_rude::server::Setup;
use halcyon_rude::wire::{End, HOME, Line, Way, tcp, until_closed};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::world::{World, program};

fn limited() -> Setup {
    Setup::default().with("limits-limit-loopback", true)
}

/// Returns how many of these bare connections the server keeps open, when those that it turned away had to wait.
async fn kept(crowd: &mut [TcpStream]) -> usize {
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let mut kept = 0;
    for stream in crowd {
        // Bytes that are not there yet: open. An end, or a reset: closed.
        kept += usize::from(stream.try_read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
    }
    kept
}

/// COU-14: an address has its places; the next ones are told, more are dropped, and others get in.
#[tokio::test]
async fn an_address_has_its_places() {
    let world = World::with(limited().with("limits-connections-per-address", 10)).await;
    let mut served: Vec<Line> = Vec::new();
    for _ in 0..10 {
        let mut line = world.way.courier(RUDE_HOME).await.unwrap();
        assert!(line.frame().await.unwrap().is_some(), "a hello");
        served.push(line);
    }
    let mut told = world.way.courier(RUDE_HOME).await.unwrap();
    assert_eq!(told.end().await.unwrap(), End::Said(CloseCode::TooManyConnections));
    let mut silent = Vec::new();
    for _ in 0..30 {
        silent.push(tcp(RUDE_HOME, world.way.addresses.courier).await.unwrap());
    }
    let open = kept(&mut silent).await;
    assert!(open <= 8, "{open} over the limit are kept");
    let refused = world.way.websocket(RUDE_HOME).await;
    assert!(refused.err().unwrap().to_string().contains("429"), "the bindings count together");
    world.people_talk().await;
    drop((served, told, silent));
    world.is_well().await;
}

/// COU-14: an address that comes back too often is dropped until it has rested.
#[tokio::test]
async fn an_address_comes_so_often() {
    let setup = limited().with("limits-connects-per-address-s", 2).with("limits-connects-per-address-burst", 20);
    let world = World::with(setup).await;
    for port in [world.way.addresses.courier, world.way.addresses.https] {
        let mut crowd = Vec::new();
        for _ in 0..60 {
            crowd.push(tcp(RUDE_HOME, port).await.unwrap());
        }
        let served = kept(&mut crowd).await;
        assert!((20..=28).contains(&served), "{served} of 60 on port {port}");
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    world.way.courier(RUDE_HOME).await.unwrap();
    world.is_small().await;
}

/// COU-14: all addresses together have so many places. Who is connected stays, and a place that is free is used.
#[tokio::test]
async fn all_together_have_their_places() {
    let world = World::with(limited().with("limits-connections-max", 40)).await;
    let mut alice = world.alice().await;
    let mut crowd = Vec::new();
    for number in 0..60 {
        crowd.push(tcp(somewhere(number), world.way.addresses.courier).await.unwrap());
    }
    assert_eq!(kept(&mut crowd).await, 39);
    let (status, _) = alice.send(&world.alice, &world.to_bob, 1, b"in the crowd".to_vec().into()).await.unwrap();
    assert_eq!(status, halcyon_courier::Status::Accepted);
    let refused = world.way.websocket(somewhere(99)).await;
    assert!(refused.err().unwrap().to_string().contains("503"));
    drop((crowd, alice));
    world.is_well().await;
}

/// COU-14: strangers that say nothing hold the door for seconds, not for good, and hold little memory.
#[tokio::test]
async fn silent_strangers_make_room() {
    let world = World::with(limited().with("limits-handshakes-max", 50).with("limits-handshake-timeout-s", 600)).await;
    let mut crowd = Vec::new();
    for number in 0..50 {
        crowd.push(tcp(somewhere(number), world.way.addresses.courier).await.unwrap());
    }
    let begun = Instant::now();
    world.people_talk().await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(8), "an honest device waited {took:?}");
    let mut left = 0;
    for stream in &mut crowd {
        left += usize::from(until_closed(stream, Duration::from_millis(10)).await.is_ok());
    }
    assert!((1..=10).contains(&left), "{left} strangers were put out for two that came");
    drop(crowd);
    world.is_well().await;
}

/// COU-14: a process that may open few files takes fewer connections, and never lacks one for its own work.
#[tokio::test]
async fn the_stores_keep_their_files() {
    let world = World::with(Setup::default().with_files(400)).await;
    let mut crowd = JoinSet::new();
    for port in [world.way.addresses.courier, world.way.addresses.https] {
        for _ in 0..300 {
            crowd.spawn(async move {
                let mut stream = tcp(HOME, port).await.unwrap();
                let _ = stream.read(&mut [0]).await;
            });
        }
    }
    for _ in 0..20 {
        assert!(world.server.weigh().unwrap().files <= 300, "{:?}", world.server.weigh());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!world.server.log().iter().any(|line| line.contains("could not be accepted")), "{:?}", world.server.log());
    crowd.shutdown().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    Citizen::register(&world.way, &world.server.mails(), "carol").await.unwrap();
    world.is_well().await;
}

/// COU-13, COU-14: after a restart all devices come at once, again and again; all of them get in, and the server stays
/// small.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_devices_gets_in() {
    let setup = Setup::default().growing_at_most(1 << 30);
    let server = setup.start(program()).await.unwrap();
    let way = Way::to(&server).unwrap();
    let mut town = Vec::new();
    for number in 0..12 {
        town.push(Citizen::register(&way, &server.mails(), &format!("person{number}")).await.unwrap());
    }
    let server = setup.restart(program(), server).await.unwrap();
    let before = server.weigh().unwrap();
    let begun = Instant::now();
    for _ in 0..5 {
        let mut storm = JoinSet::new();
        // Each device several times at once: the newest connection is the one that stays.
        for citizen in town.iter().flat_map(|citizen| std::iter::repeat_n(citizen, 8)) {
            let (citizen, way) = (citizen.clone(), way.clone());
            storm.spawn(async move { citizen.online_from(&way, HOME, Binding::Native).await });
        }
        let connected = storm.join_all().await;
        let failed = connected.iter().filter(|online| online.is_err()).count();
        assert_eq!(failed, 0, "{:?}", connected.into_iter().find_map(Result::err));
    }
    let grown = server.weigh().unwrap().resident_max - before.resident;
    assert!(grown < crate::world::GROWTH_MAX, "{} KiB", grown >> 10);
    assert!(begun.elapsed() < Duration::from_secs(20), "480 connects took {:?}", begun.elapsed());
}
