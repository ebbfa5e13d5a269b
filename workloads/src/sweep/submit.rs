//! Handing shards to an engine: scripts for Slurm and GNU parallel, or commands to paste.
//!
//! A shard is a process that runs every n-th cell; the merge follows when all have ended well. What an engine says of its
//! jobs is not trusted: the merge looks at the cells.

use std::path::Path;

/// What to submit.
#[derive(Clone, Debug)]
pub struct Submission<'a> {
    /// The program, as the shards find it.
    pub program: &'a Path,
    /// The sweep's directory, absolute.
    pub dir: &'a Path,
    /// Number of shards.
    pub shards: usize,
    /// Where the merged results go, absolute.
    pub out: &'a Path,
    /// Host threads of each shard.
    pub jobs: usize,
}

impl Submission<'_> {
    fn shard(&self, index: &str) -> String {
        format!(
            "{} sweep run {} --jobs {} --shard {index}/{}",
            quote(self.program),
            quote(self.dir),
            self.jobs,
            self.shards
        )
    }

    fn merge(&self) -> String {
        format!("{} sweep merge {} --out {}", quote(self.program), quote(self.dir), quote(self.out))
    }

    /// The script of the job array.
    pub fn slurm_array(&self) -> String {
        format!(
            "#!/bin/sh\n#SBATCH --job-name=shootdown-sweep\n#SBATCH --array=1-{}\n#SBATCH --cpus-per-task={}\n\
             #SBATCH --output={}\nexec {}\n",
            self.shards,
            self.jobs,
            self.dir.join("slurm-%A-%a.log").display(),
            self.shard("\"$SLURM_ARRAY_TASK_ID\"")
        )
    }

    /// The script of the merge. It is submitted to begin when the array has ended well, and to be dropped when it cannot.
    pub fn slurm_merge(&self) -> String {
        format!(
            "#!/bin/sh\n#SBATCH --job-name=shootdown-merge\n#SBATCH --output={}\nexec {}\n",
            self.dir.join("slurm-%j.log").display(),
            self.merge()
        )
    }

    /// Every command on a line of its own, the merge last.
    pub fn commands(&self) -> Vec<String> {
        (1..=self.shards).map(|i| self.shard(&i.to_string())).chain([self.merge()]).collect()
    }
}

/// A word of a shell.
fn quote(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_name_shards_and_merge() {
        let submission = Submission {
            program: Path::new("/opt/shootdown"),
            dir: Path::new("/data/it's a sweep"),
            shards: 3,
            out: Path::new("/data/all.jsonl"),
            jobs: 2,
        };
        assert_eq!(
            submission.commands()[1..],
            [
                "/opt/shootdown sweep run '/data/it'\\''s a sweep' --jobs 2 --shard 2/3",
                "/opt/shootdown sweep run '/data/it'\\''s a sweep' --jobs 2 --shard 3/3",
                "/opt/shootdown sweep merge '/data/it'\\''s a sweep' --out /data/all.jsonl",
            ]
        );
        let array = submission.slurm_array();
        assert!(array.contains("--array=1-3\n") && array.ends_with("--shard \"$SLURM_ARRAY_TASK_ID\"/3\n"));
    }
}
