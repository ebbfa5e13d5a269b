//! `image.lock`: which sources and which compiler the checked-in images come from.
//!
//! ```toml
//! compiler = "rustc ..."
//! sources = "<sha256>"
//! recipe = "<sha256>"
//!
//! [segments]
//! "kernel.elf" = "<sha256>"
//! ```
//!
//! `sources` covers every file in [`SOURCE_DIRS`] whose kind is in
//! [`SOURCE_KINDS`], in the order of their paths: path, length and content of
//! each. `recipe` covers the compiler flags. A test compares them with the
//! checkout, so that sources and images cannot drift apart unseen.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// Directories with sources of the images, relative to the checkout.
pub const SOURCE_DIRS: &[&str] = &["benches/guest", "kernel-image", "workloads/guest"];

/// Extensions of the files that count as sources, `Cargo.toml` beside them.
const SOURCE_KINDS: &[&str] = &["rs", "s", "S", "ld", "toml"];

/// What the lock file says.
#[derive(Debug, PartialEq, Eq)]
pub struct Lock {
    pub compiler: String,
    pub sources: String,
    pub recipe: String,
    /// Digest of the loadable segments by file name.
    pub segments: BTreeMap<String, String>,
}

impl Lock {
    /// The text of the file.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "# Written by `cargo xtask image`: what the images beside this file were built from.\n\
             compiler = \"{}\"\nsources = \"{}\"\nrecipe = \"{}\"\n\n[segments]\n",
            self.compiler, self.sources, self.recipe
        );
        for (name, digest) in &self.segments {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "\"{name}\" = \"{digest}\"");
        }
        text
    }

    /// Reads the file's text.
    pub fn from_text(text: &str) -> Result<Lock> {
        let table: toml::Table = text.parse().context("image.lock is no TOML")?;
        let field = |key: &str| -> Result<String> {
            table
                .get(key)
                .and_then(toml::Value::as_str)
                .map(str::to_owned)
                .with_context(|| format!("image.lock has no text `{key}`"))
        };
        let segments = table
            .get("segments")
            .and_then(toml::Value::as_table)
            .context("image.lock has no table `segments`")?
            .iter()
            .map(|(name, digest)| {
                let digest =
                    digest.as_str().with_context(|| format!("image.lock: segments.{name} is no text"))?;
                Ok((name.clone(), digest.to_owned()))
            })
            .collect::<Result<_>>()?;
        Ok(Lock {
            compiler: field("compiler")?,
            sources: field("sources")?,
            recipe: field("recipe")?,
            segments,
        })
    }
}

/// Digest of all sources of the images.
pub fn sources_digest(root: &Path) -> Result<String> {
    let mut files = Vec::new();
    for dir in SOURCE_DIRS {
        collect(root, dir, &mut files)?;
    }
    if files.is_empty() {
        bail!("no sources under {}", root.display());
    }
    files.sort();
    let mut hash = Sha256::new();
    for path in files {
        let content = fs::read(root.join(&path)).with_context(|| format!("cannot read {path}"))?;
        hash.update(path.as_bytes());
        hash.update([0]);
        hash.update((content.len() as u64).to_le_bytes());
        hash.update(&content);
    }
    Ok(hex(&hash.finalize()))
}

/// Adds the sources below `dir`, as paths relative to `root` with `/` between the parts.
fn collect(root: &Path, dir: &str, files: &mut Vec<String>) -> Result<()> {
    let entries = fs::read_dir(root.join(dir)).with_context(|| format!("cannot read {dir}"))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{dir}/{name}");
        if entry.file_type()?.is_dir() {
            if name != "target" && name != "prebuilt" {
                collect(root, &path, files)?;
            }
        } else if Path::new(&name)
            .extension()
            .is_some_and(|kind| SOURCE_KINDS.iter().any(|known| kind == *known))
        {
            files.push(path);
        }
    }
    Ok(())
}

/// SHA-256 in hexadecimal.
pub fn hex_digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{self, Image};
    use crate::{elf, opcodes, paths};

    fn checked_in() -> Lock {
        let path = paths::prebuilt(&paths::root()).join("image.lock");
        let text = fs::read_to_string(&path).expect("the lock file is checked in");
        Lock::from_text(&text).expect("the lock file is well formed")
    }

    #[test]
    fn images_belong_to_the_sources() {
        let lock = checked_in();
        let sources = sources_digest(&paths::root()).unwrap();
        let hint = "run `cargo xtask image` and commit kernel-image/prebuilt";
        assert_eq!(lock.sources, sources, "the guest's sources changed: {hint}");
        assert_eq!(lock.recipe, image::recipe_digest(), "the flags changed: {hint}");
    }

    #[test]
    fn images_are_those_of_the_lock() {
        let lock = checked_in();
        assert_eq!(lock.segments.len(), Image::ALL.len());
        for image in Image::ALL {
            let name = image.file_name();
            let bytes = fs::read(paths::prebuilt(&paths::root()).join(name)).unwrap();
            elf::check_shape(&bytes).unwrap();
            for code in elf::code(&bytes).unwrap() {
                opcodes::check(&code).unwrap();
            }
            assert_eq!(lock.segments.get(name), Some(&elf::segments_digest(&bytes).unwrap()), "{name}");
        }
    }

    #[test]
    fn lock_survives_its_text() {
        let lock = Lock {
            compiler: "rustc 1.2.3 (abc 2001-02-03)".into(),
            sources: "00".into(),
            recipe: "11".into(),
            segments: [("a.elf".to_owned(), "22".to_owned())].into(),
        };
        assert_eq!(Lock::from_text(&lock.to_text()).unwrap(), lock);
        assert!(Lock::from_text("compiler = \"x\"").is_err());
    }

    #[test]
    fn digest_sees_names_and_contents() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for source in SOURCE_DIRS {
            fs::create_dir_all(root.join(source)).unwrap();
        }
        let file = root.join("kernel-image/a.rs");
        fs::write(&file, "fn a() {}").unwrap();
        let first = sources_digest(root).unwrap();
        fs::write(root.join("kernel-image/notes.txt"), "no source").unwrap();
        assert_eq!(sources_digest(root).unwrap(), first);
        fs::write(&file, "fn b() {}").unwrap();
        let second = sources_digest(root).unwrap();
        assert_ne!(second, first);
        fs::rename(&file, root.join("kernel-image/b.rs")).unwrap();
        assert_ne!(sources_digest(root).unwrap(), second);
    }
}
