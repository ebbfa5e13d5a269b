//! Everything in `docs/` that the program draws: made anew, or compared with what is there.
//!
//! Each drawing has figures in it, so a change of the images or of a cost changes some of them. In this order:
//!
//! | what | by |
//! |---|---|
//! | `docs/compare.svg`, the README's figure | the README's two commands |
//! | `docs/screens/*.svg` | sessions of `shots.rs` |
//! | `docs/VALIDATION.md` and its figures | `experiment validation --write` |
//!
//! Equal programs draw equal bytes, which is what makes `--check` a check. Left out: `docs/schemas/`, which are made from
//! types and not from figures.

use crate::{paths, shots};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What to do.
pub struct Plan {
    /// Compare with what is there, write nothing.
    pub check: bool,
    /// The program.
    pub shootdown: Option<PathBuf>,
}

/// A file that the program draws.
pub struct Drawing {
    /// Where it lies in the checkout.
    pub path: PathBuf,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Makes everything, or checks it.
pub fn run(plan: &Plan) -> Result<()> {
    let root = paths::root();
    let program = paths::program_or(plan.shootdown.as_deref(), &root);
    let mut differing = put(&root, figure(&program)?, plan.check)?;
    differing.extend(put(&root, shots::pictures(&program)?, plan.check)?);
    differing.extend(put(&root, validation(&program)?, plan.check)?);
    told(&differing, "redraw")
}

/// Writes drawings into a checkout, or, to check, compares them: names of those that are not what is there.
pub fn put(root: &Path, drawings: Vec<Drawing>, check: bool) -> Result<Vec<String>> {
    let mut differing = Vec::new();
    for Drawing { path, bytes } in drawings {
        let (name, path) = (path.display().to_string(), root.join(path));
        if check {
            if std::fs::read(&path).unwrap_or_default() != bytes {
                differing.push(name);
            }
            continue;
        }
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)
                .with_context(|| format!("cannot make {}", directory.display()))?;
        }
        std::fs::write(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{name}");
    }
    Ok(differing)
}

/// An error that names what is not as it is drawn, and the command that draws it.
pub fn told(differing: &[String], command: &str) -> Result<()> {
    if !differing.is_empty() {
        bail!("out of date: {}; `cargo xtask {command}` makes them anew", differing.join(", "));
    }
    Ok(())
}

/// Runs the program and gives what it writes to standard output.
pub fn output(command: &mut Command) -> Result<Vec<u8>> {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command.output().with_context(|| {
        format!("cannot run {program}; `cargo build --release` makes it, --shootdown names another")
    })?;
    if !output.status.success() {
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        bail!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// The README's figure. It names the file that it is made from, so that has the name that the README gives it.
fn figure(program: &Path) -> Result<Vec<Drawing>> {
    let directory = tempfile::tempdir()?;
    let (results, svg) = (directory.path().join("compare.json"), directory.path().join("compare.svg"));
    let mut compare = Command::new(program);
    output(compare.args(["compare", "--seeds", "6", "--format", "json", "--out"]).arg(&results))?;
    let mut export = Command::new(program);
    output(export.args(["export", "ledger"]).arg(&results).arg("--out").arg(&svg))?;
    Ok(vec![drawing(&svg, Path::new("docs"))?])
}

/// The validation's document and figures.
fn validation(program: &Path) -> Result<Vec<Drawing>> {
    let directory = tempfile::tempdir()?;
    output(Command::new(program).args(["experiment", "validation", "--write"]).arg(directory.path()))?;
    let files = std::fs::read_dir(directory.path())?.map(|entry| Ok(entry?.path()));
    let mut files = files.collect::<Result<Vec<_>>>()?;
    files.sort();
    files.iter().map(|file| drawing(file, Path::new("docs"))).collect()
}

/// A file as the drawing of the same name in a directory of the checkout.
fn drawing(file: &Path, directory: &Path) -> Result<Drawing> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Drawing { path: directory.join(file.file_name().unwrap_or_default()), bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_is_written_and_a_change_of_it_is_told() {
        let root = tempfile::tempdir().unwrap();
        let drawings = |text: &str| {
            let one =
                |name: &str, text: &str| Drawing { path: Path::new("docs/x").join(name), bytes: text.into() };
            vec![one("a.svg", "same"), one("b.svg", text)]
        };
        let missing = put(root.path(), drawings("old"), true).unwrap();
        assert_eq!(missing, ["docs/x/a.svg", "docs/x/b.svg"]);
        assert!(!root.path().join("docs").exists(), "a check writes nothing");
        assert!(put(root.path(), drawings("old"), false).unwrap().is_empty());
        assert!(put(root.path(), drawings("old"), true).unwrap().is_empty());
        let changed = put(root.path(), drawings("new"), true).unwrap();
        assert_eq!(changed, ["docs/x/b.svg"]);
        let error = told(&changed, "redraw").unwrap_err().to_string();
        assert_eq!(error, "out of date: docs/x/b.svg; `cargo xtask redraw` makes them anew");
        assert!(told(&[], "redraw").is_ok());
    }

    #[test]
    fn a_program_that_fails_or_is_not_there_is_told() {
        let missing = output(&mut Command::new("/nonexistent/shootdown")).unwrap_err().to_string();
        assert!(missing.contains("cargo build --release"), "{missing}");
        let failed = output(Command::new("cat").arg("/nonexistent/file")).unwrap_err().to_string();
        assert!(failed.starts_with("/nonexistent/file: "), "{failed}");
    }
}
