//! A server with alice and bob, and what must hold after every rudeness.

use std::path::Path;
use std::sync::OnceLock;

use bytes::Bytes;
use halcyon_courier::Status;
use halcyon_rude::citizen::{Citizen, Online, Recipient};
use halcyon_rude::server::{self, Server, Setup, Weight};
use halcyon_rude::wire::Way;

/// What the process may take of the address space beyond what it has when it listens. Threads and arenas of the allocator
/// take more of it than they use; what is used is [`GROWTH_MAX`].
const ADDRESS_SPACE_GROWTH_MAX: u64 = 1 << 30;
/// What a rudeness may make the process hold at its worst moment.
pub(crate) const GROWTH_MAX: u64 = 64 << 20;

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) way: Way,
    pub(crate) alice: Citizen,
    pub(crate) bob: Citizen,
    pub(crate) to_bob: Recipient,
    before: Weight,
}

pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<std::path::PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| server::program().unwrap())
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let server = setup.growing_at_most(ADDRESS_SPACE_GROWTH_MAX).start(program()).await.unwrap();
        let way = Way::to(&server).unwrap();
        let alice = Citizen::register(&way, &server.mails(), "alice").await.unwrap();
        let bob = Citizen::register(&way, &server.mails(), "bob").await.unwrap();
        let push_token = bob.online(&way).await.unwrap().push_token;
        let to_bob = alice.look_up(&way, &bob.handle, push_token).await.unwrap();
        let mut world = Self { before: server.weigh().unwrap(), server, way, alice, bob, to_bob };
        // What an ordinary talk takes is no growth.
        world.people_talk().await;
        world.before = world.server.weigh().unwrap();
        world
    }

    pub(crate) async fn alice(&self) -> Online {
        self.alice.online(&self.way).await.unwrap()
    }

    /// Alice writes, bob reads: the server is there for the others.
    pub(crate) async fn people_talk(&self) {
        let (mut alice, mut bob) = (self.alice().await, self.bob.online(&self.way).await.unwrap());
        let (status, _) = alice.send(&self.alice, &self.to_bob, 1, Bytes::from_static(b"still here")).await.unwrap();
        assert_eq!(status, Status::Accepted);
        assert!(!bob.delivery().await.unwrap().is_empty());
    }

    /// The process never held more than it may, and gives back what it opened.
    pub(crate) async fn is_small(&self) {
        let weight = self.server.weigh().unwrap();
        let grown = weight.resident_max.saturating_sub(self.before.resident);
        assert!(grown <= GROWTH_MAX, "{} KiB more than before: {weight:?}", grown >> 10);
        for _ in 0..200 {
            if self.server.weigh().unwrap().files <= self.before.files + 4 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{} open files, {} before", self.server.weigh().unwrap().files, self.before.files);
    }

    pub(crate) async fn is_well(&self) {
        self.is_small().await;
        self.people_talk().await;
    }
}
