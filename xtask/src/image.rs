//! `cargo xtask image`: the guest's ELF files from their sources, the same bytes every time.
//!
//! Three direct calls of `rustc` rather than cargo, so that nothing in a user's
//! cargo configuration can change the result. Every path of the machine is
//! mapped away, the linker is the compiler's own, and the linker writes no
//! build id. `--check` is the proof.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::lock::{self, Lock};
use crate::toolchain::{self, TARGET, Toolchain};
use crate::{elf, opcodes, paths, smp_locks};

/// Flags of all guest crates.
const FLAGS: &[&str] = &[
    "--edition=2024",
    "-Copt-level=3",
    "-Cpanic=abort",
    "-Ccodegen-units=1",
    "-Crelocation-model=static",
    "-Cstrip=debuginfo",
];

/// Further flags of the executables.
const EXECUTABLE_FLAGS: &[&str] = &[
    "--crate-type=bin",
    "-Clto=fat",
    "-Clinker-flavor=ld.lld",
    "-Clink-arg=--build-id=none",
    "-Clink-arg=--no-eh-frame-hdr",
    "-Clink-arg=-znognustack",
    "-Clink-arg=-zmax-page-size=4096",
];

/// One of the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Image {
    /// The guest kernel
    Kernel,
    /// The kernel's user program
    Guest,
    /// The benchmark of emulator speed
    Bench,
}

impl Image {
    /// All, in the order in which they are built.
    pub const ALL: &[Image] = &[Image::Kernel, Image::Guest, Image::Bench];

    /// Name of the file in `kernel-image/prebuilt`.
    pub fn file_name(self) -> &'static str {
        match self {
            Image::Kernel => "kernel.elf",
            Image::Guest => "guest.elf",
            Image::Bench => "bench.elf",
        }
    }

    fn crate_name(self) -> &'static str {
        match self {
            Image::Kernel => "shootdown_kernel",
            Image::Guest => "shootdown_guest",
            Image::Bench => "shootdown_bench_guest",
        }
    }

    /// Directory of the package; its linker script is `linker.ld` there.
    fn dir(self) -> &'static str {
        match self {
            Image::Kernel => "kernel-image",
            Image::Guest => "workloads/guest",
            Image::Bench => "benches/guest",
        }
    }
}

/// Digest of the flags, for the lock.
pub fn recipe_digest() -> String {
    lock::hex_digest(format!("{TARGET} {FLAGS:?} {EXECUTABLE_FLAGS:?}").as_bytes())
}

/// Replaces the checked-in images and their lock.
pub fn build_prebuilt() -> Result<()> {
    let root = paths::root();
    // Before the build, so that an edit during the build leaves a stale lock and not a wrong one.
    let sources = lock::sources_digest(&root)?;
    let scratch = tempfile::tempdir()?;
    let toolchain = build(&root, scratch.path(), Image::ALL)?;
    let prebuilt = paths::prebuilt(&root);
    fs::create_dir_all(&prebuilt)?;
    let mut segments = std::collections::BTreeMap::new();
    for image in Image::ALL {
        let bytes = fs::read(scratch.path().join(image.file_name()))?;
        segments.insert(image.file_name().to_owned(), elf::segments_digest(&bytes)?);
        write(&prebuilt.join(image.file_name()), &bytes)?;
    }
    let lock = Lock { compiler: toolchain.version, sources, recipe: recipe_digest(), segments };
    write(&prebuilt.join("image.lock"), lock.to_text().as_bytes())?;
    eprintln!("wrote {}", prebuilt.display());
    Ok(())
}

/// Builds some images into a directory of the caller's.
pub fn build_into(dir: &Path, wanted: &[Image]) -> Result<()> {
    // Relative to where the user stands, not to the checkout.
    let dir = std::path::absolute(dir)?;
    build(&paths::root(), &dir, wanted)?;
    for image in wanted {
        println!("{}", dir.join(image.file_name()).display());
    }
    Ok(())
}

/// Rebuilds everything elsewhere and compares it with what is checked in.
pub fn check() -> Result<()> {
    let root = paths::root();
    let prebuilt = paths::prebuilt(&root);
    let path = prebuilt.join("image.lock");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let lock = Lock::from_text(&text)?;
    let toolchain = Toolchain::find(&root)?;
    if toolchain.version != lock.compiler {
        bail!(
            "the images were built by {}, this is {}: other compilers give other bytes",
            lock.compiler,
            toolchain.version
        );
    }
    let sources = lock::sources_digest(&root)?;
    if sources != lock.sources || recipe_digest() != lock.recipe {
        bail!("image.lock does not belong to these sources: run `cargo xtask image`");
    }
    let scratch = tempfile::tempdir()?;
    build(&root, scratch.path(), Image::ALL)?;
    for image in Image::ALL {
        let name = image.file_name();
        let built = fs::read(scratch.path().join(name))?;
        let kept = fs::read(prebuilt.join(name)).with_context(|| format!("cannot read {name}"))?;
        if built != kept {
            let at = built.iter().zip(&kept).position(|(a, b)| a != b);
            bail!(
                "{name}: {} bytes are checked in, the sources build {}; first difference at byte {}",
                kept.len(),
                built.len(),
                at.unwrap_or(built.len().min(kept.len()))
            );
        }
        if lock.segments.get(name) != Some(&elf::segments_digest(&built)?) {
            bail!("{name}: image.lock has another digest of its segments");
        }
        println!("{name}: bit for bit what the sources build");
    }
    Ok(())
}

/// Builds into `out` and checks what came out.
fn build(root: &Path, out: &Path, wanted: &[Image]) -> Result<Toolchain> {
    let toolchain = Toolchain::find(root)?;
    let sysroot = toolchain.sysroot(root, &paths::target_dir(root).join("image"))?;
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let scratch = tempfile::tempdir()?;
    let abi = scratch.path().join("libshootdown_abi.rlib");
    let mut rustc = guest_rustc(root, &sysroot, scratch.path());
    rustc
        .args(["--crate-name=shootdown_abi", "--crate-type=rlib"])
        .arg("-o")
        .arg(&abi)
        .arg("kernel-image/abi/src/lib.rs");
    toolchain::run(&mut rustc, "kernel-image/abi")?;
    for &image in wanted {
        let path = link(root, &toolchain, &sysroot, &abi, scratch.path(), image)?;
        let mut bytes = fs::read(&path)?;
        let mut finish = || -> Result<()> {
            elf::check_shape(&bytes)?;
            if image == Image::Kernel {
                smp_locks::fill(&mut bytes)?;
            }
            elf::code(&bytes)?.iter().try_for_each(opcodes::check)
        };
        finish().with_context(|| image.file_name())?;
        write(&out.join(image.file_name()), &bytes)?;
    }
    Ok(toolchain)
}

/// Compiles and links one executable; returns where it lies.
fn link(
    root: &Path,
    toolchain: &Toolchain,
    sysroot: &Path,
    abi: &Path,
    scratch: &Path,
    image: Image,
) -> Result<PathBuf> {
    let script = root.join(image.dir()).join("linker.ld");
    if !script.is_file() {
        bail!("{}/linker.ld is missing", image.dir());
    }
    let out = scratch.join(image.file_name());
    let mut rustc = guest_rustc(root, sysroot, scratch);
    rustc
        .arg(format!("--crate-name={}", image.crate_name()))
        .args(EXECUTABLE_FLAGS)
        .arg(format!("-Clinker={}", toolchain.linker.display()))
        .arg(format!("-Clink-arg=-T{}", script.display()))
        .arg(format!("--extern=shootdown_abi={}", abi.display()))
        .arg("-o")
        .arg(&out)
        .arg(format!("{}/src/main.rs", image.dir()));
    toolchain::run(&mut rustc, image.dir())?;
    Ok(out)
}

fn guest_rustc(root: &Path, sysroot: &Path, scratch: &Path) -> std::process::Command {
    let mut rustc = toolchain::rustc(root);
    rustc
        .args(["--target", TARGET])
        .args(FLAGS)
        .arg("--sysroot")
        .arg(sysroot)
        .arg(toolchain::remap(sysroot, "/sysroot"))
        .arg(toolchain::remap(scratch, "/build"))
        .arg(toolchain::remap(root, "."));
    rustc
}

/// By temporary file and rename, so that nobody sees half a file.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, bytes)
        .and_then(|()| fs::rename(&partial, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
