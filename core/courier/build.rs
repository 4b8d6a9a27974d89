//! Compiles `proto/halcyon/courier.proto` without an installed protoc.

#![allow(clippy::disallowed_macros, reason = "a build script speaks to cargo by printing")]

fn main() {
    let proto = "../../proto/halcyon/courier.proto";
    println!("cargo:rerun-if-changed={proto}");
    let files = protox::compile([proto], ["../../proto"]).expect("the schema in proto/ compiles");
    prost_build::Config::new()
        .bytes(["."])
        // By far the largest body, and sent once a connection: every other frame is moved about in the space of the largest.
        .boxed(".halcyon.courier.v1.Frame.body.connect")
        // A whole send and more, and rare.
        .boxed(".halcyon.courier.v1.Frame.body.hold")
        .compile_fds(files)
        .expect("the output folder of the build is writable");
}
