//! Compiles the schemas of `pair-ec` and `pq3` without an installed protoc.

#![allow(clippy::disallowed_macros, reason = "a build script speaks to cargo by printing")]

fn main() {
    let protos = ["../../proto/halcyon/pair_ec.proto", "../../proto/halcyon/pq3.proto"];
    for proto in protos {
        println!("cargo:rerun-if-changed={proto}");
    }
    let files = protox::compile(protos, ["../../proto"]).expect("the schema in proto/ compiles");
    prost_build::Config::new().compile_fds(files).expect("the output folder of the build is writable");
}
