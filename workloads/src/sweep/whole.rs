//! Files that are there whole or not at all: written beside their place under a name with a dot, then renamed.

use std::fs::Permissions;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Writes a file. When `fill` fails, or the program is killed, what was under the name stays as it was.
pub fn write<T, E: From<io::Error>>(
    path: &Path,
    fill: impl FnOnce(&mut (dyn Write + Send)) -> Result<T, E>,
) -> Result<T, E> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut builder = tempfile::Builder::new();
    let prefix = format!(".{name}-");
    builder.prefix(&prefix);
    if let Some(usual) = usual_permissions() {
        builder.permissions(usual);
    }
    let mut file = builder.tempfile_in(dir)?;
    let mut out = BufWriter::new(file.as_file_mut());
    let filled = fill(&mut out)?;
    out.flush()?;
    drop(out);
    // A machine that goes down must not leave the name without the content.
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(filled)
}

/// Those of any new file; temporary ones are their owner's alone otherwise.
#[cfg(unix)]
fn usual_permissions() -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn usual_permissions() -> Option<Permissions> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_leaves_what_was_there_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write(&path, |out| out.write_all(b"old")).unwrap();
        let failed = write(&path, |out| {
            out.write_all(b"new")?;
            Err::<(), _>(io::Error::other("no"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(write(&dir.path().join("missing/a"), |out| out.write_all(b"x")).is_err());
    }
}
