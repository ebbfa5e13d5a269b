//! The compiler and the private sysroot of the guest's target.
//!
//! No target is downloaded: `core` and `compiler_builtins` are compiled from the
//! toolchain's own `rust-src` for the built-in target `i586-unknown-linux-gnu`
//! (the `i686` one assumes SSE2). `RUSTC_BOOTSTRAP=1` is set for these two
//! crates only, as they are written in unstable Rust; all of the guest's own
//! code is stable Rust. The result is kept under the target directory, named
//! after the compiler and the flags that it was built with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::lock;

/// The guest's target: i586, so that neither SSE nor MMX code appears.
pub const TARGET: &str = "i586-unknown-linux-gnu";

/// Flags of the two library crates.
const LIBRARY_FLAGS: &[&str] = &[
    "--edition=2024",
    "--crate-type=rlib",
    "--cap-lints=allow",
    "-Copt-level=3",
    "-Cpanic=abort",
    "-Ccodegen-units=1",
    "-Crelocation-model=static",
    "-Zforce-unstable-if-unmarked",
];

/// What the build script of `compiler_builtins` would have set for this target.
const BUILTINS_CFGS: &[&str] = &[
    "feature=\"compiler-builtins\"",
    "feature=\"mem\"",
    "feature=\"no-asm\"",
    "feature=\"rustc-dep-of-std\"",
    "x86_no_sse",
    "f16_enabled",
    "f128_enabled",
    "intrinsics_enabled",
    "optimizations_enabled",
];

/// The installed compiler and its parts.
pub struct Toolchain {
    /// First line of `rustc -vV`, such as `rustc 1.95.0 (59807616e 2026-04-14)`.
    pub version: String,
    /// The library sources (`rust-src`).
    library: PathBuf,
    /// The linker that comes with the compiler.
    pub linker: PathBuf,
}

impl Toolchain {
    /// Asks `rustc` (as the checkout's `rust-toolchain.toml` picks it) for its version and its parts.
    pub fn find(root: &Path) -> Result<Toolchain> {
        let verbose = ask_rustc(root, &["-vV"])?;
        let version = verbose.lines().next().unwrap_or_default().to_owned();
        let host = verbose
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .context("rustc -vV names no host")?;
        let sysroot = PathBuf::from(ask_rustc(root, &["--print", "sysroot"])?.trim());
        let library = sysroot.join("lib/rustlib/src/rust/library");
        if !library.join("core/src/lib.rs").is_file() {
            bail!("no library sources in {}: run `rustup component add rust-src`", library.display());
        }
        let linker = sysroot.join(format!("lib/rustlib/{host}/bin/rust-lld{}", std::env::consts::EXE_SUFFIX));
        if !linker.is_file() {
            bail!("the toolchain has no {}", linker.display());
        }
        Ok(Toolchain { version, library, linker })
    }

    /// The sysroot with `core` and `compiler_builtins`, built when it is not there yet.
    pub fn sysroot(&self, root: &Path, cache: &Path) -> Result<PathBuf> {
        let key =
            lock::hex_digest(format!("{} {LIBRARY_FLAGS:?} {BUILTINS_CFGS:?}", self.version).as_bytes());
        let done = cache.join(format!("sysroot-{}", &key[..16]));
        if done.is_dir() {
            return Ok(done);
        }
        eprintln!("building core and compiler_builtins for {TARGET} (once per compiler)");
        fs::create_dir_all(cache).with_context(|| format!("cannot make {}", cache.display()))?;
        // Under another name first: a build that was broken off must not look finished.
        let scratch = tempfile::Builder::new().prefix("sysroot-partial-").tempdir_in(cache)?;
        let lib = scratch.path().join(format!("lib/rustlib/{TARGET}/lib"));
        fs::create_dir_all(&lib)?;
        self.library_crate(root, scratch.path(), &lib, "core", "core/src/lib.rs", &[])?;
        self.library_crate(
            root,
            scratch.path(),
            &lib,
            "compiler_builtins",
            "compiler-builtins/compiler-builtins/src/lib.rs",
            BUILTINS_CFGS,
        )?;
        let finished = scratch.keep();
        match fs::rename(&finished, &done) {
            Ok(()) => Ok(done),
            // Another build was faster; both hold the same.
            Err(_) if done.is_dir() => {
                fs::remove_dir_all(&finished)?;
                Ok(done)
            }
            Err(error) => Err(error).with_context(|| format!("cannot make {}", done.display())),
        }
    }

    fn library_crate(
        &self,
        root: &Path,
        sysroot: &Path,
        lib: &Path,
        name: &str,
        source: &str,
        cfgs: &[&str],
    ) -> Result<()> {
        let mut rustc = rustc(root);
        rustc
            .env("RUSTC_BOOTSTRAP", "1")
            .args(["--crate-name", name, "--target", TARGET])
            .args(LIBRARY_FLAGS)
            .arg("--sysroot")
            .arg(sysroot)
            .arg(remap(&self.library, "/rust/library"))
            .arg("-o")
            .arg(lib.join(format!("lib{name}.rlib")))
            .arg(self.library.join(source));
        for cfg in cfgs {
            rustc.args(["--cfg", cfg]);
        }
        run(&mut rustc, name)
    }
}

/// `rustc` in the checkout, with nothing inherited that would change its output.
pub fn rustc(root: &Path) -> Command {
    let mut command = Command::new("rustc");
    command
        .current_dir(root)
        .env_remove("RUSTC_BOOTSTRAP")
        .env_remove("RUSTFLAGS")
        .env_remove("SOURCE_DATE_EPOCH");
    command
}

/// The flag that keeps a path of this machine out of the output.
pub fn remap(from: &Path, to: &str) -> String {
    format!("--remap-path-prefix={}={to}", from.display())
}

/// Runs a compiler to its end; its own messages have said what is wrong.
pub fn run(command: &mut Command, what: &str) -> Result<()> {
    let status =
        command.status().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{what}: the compiler failed ({status})");
    }
    Ok(())
}

fn ask_rustc(root: &Path, args: &[&str]) -> Result<String> {
    let output = rustc(root).args(args).output().context("cannot start rustc")?;
    if !output.status.success() {
        bail!("rustc {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("rustc printed something that is no text")
}
