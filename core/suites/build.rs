//! Compiles `proto/halcyon/pair_ec.proto` without an installed protoc.

#![allow(clippy::disallowed_macros, reason = "a build script speaks to cargo by printing")]

fn main() {
    let proto = "../../proto/halcyon/pair_ec.proto";
    println!("cargo:rerun-if-changed={proto}");
    let files = protox::compile([proto], ["../../proto"]).expect("the schema in proto/ compiles");
    prost_build::Config::new().compile_fds(files).expect("the output folder of the build is writable");
}
