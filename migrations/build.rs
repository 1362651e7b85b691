//! The migrations are embedded at compile time; a new file must cause a build.

fn main() {
    println!("cargo:rerun-if-changed=.");
}
