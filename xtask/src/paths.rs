//! Where things lie in the checkout.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the checkout. The variable that cargo sets at run time goes before
/// the one of compile time, so that a binary kept from another checkout does not build that one.
pub fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.ends_with("xtask"))
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    manifest.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Cargo's target directory.
pub fn target_dir(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

/// The program `shootdown`, where a release build puts it.
pub fn program(root: &Path) -> PathBuf {
    target_dir(root).join("release").join(format!("shootdown{}", env::consts::EXE_SUFFIX))
}

/// The program that was named, or that one.
pub fn program_or(named: Option<&Path>, root: &Path) -> PathBuf {
    named.map_or_else(|| program(root), Path::to_path_buf)
}

/// The checked-in images.
pub fn prebuilt(root: &Path) -> PathBuf {
    root.join("kernel-image/prebuilt")
}
