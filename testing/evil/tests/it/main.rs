//! People whose server lies to them. Spec: 11-directory.md (DIR-3 to DIR-9, DIR-20 to DIR-31), 21-linking.md, 60-client.md.

#![allow(clippy::unwrap_used)]

mod answers;
mod bundles;
mod courier;
mod links;
mod lists;
mod scene;
// The same server and devices as the client's own stories have.
#[path = "../../../../shell/client-net/tests/it/world.rs"]
#[allow(dead_code, reason = "stories without lies need more of it")]
mod world;
