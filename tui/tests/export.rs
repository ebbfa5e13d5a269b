//! `export`: what goes into a paper is what the cells say, and LaTeX takes it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

const STUDY: &str = "repeats = 3\n[set]\nops = 40\nwarmup = 10\nmem = \"64M\"\nnormal = \"16M\"\nwindow = 64\npages = 128\n\
    [vary]\nstrategy = [\"atomic\", \"batched\"]\ncpus = [1, 2]\n";

fn shootdown(words: &[&dyn AsRef<std::ffi::OsStr>]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shootdown"));
    words.iter().for_each(|w| {
        command.arg(w.as_ref());
    });
    command.stdin(Stdio::null()).output().unwrap()
}

fn well(words: &[&dyn AsRef<std::ffi::OsStr>]) {
    let done = shootdown(words);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn histograms_tables_and_curves_of_a_sweep() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("study.toml"), STUDY).unwrap();
    well(&[&"sweep", &"plan", &at("study.toml"), &"--out", &at("s")]);
    well(&[&"sweep", &"run", &at("s")]);
    let all = at("all.jsonl");
    well(&[&"sweep", &"merge", &at("s"), &"--out", &all]);
    let cells: Vec<serde_json::Value> =
        read(&all).lines().map(|l| serde_json::from_str(l).unwrap()).collect();

    // Seeds are merged by adding histograms: counts add up.
    well(&[&"export", &"histograms", &all, &"--out", &at("h")]);
    let wanted: u64 = cells
        .iter()
        .filter(|c| c["set"]["cpus"] == "2" && c["set"]["strategy"] == "batched")
        .map(|c| c["report"]["rows"][0]["kmap_latency"]["count"].as_u64().unwrap())
        .sum();
    let text = read(&at("h/cpus=2,strategy=batched.kmap.hgrm"));
    assert!(text.contains(&format!("Total count    = {wanted:12}]")), "{wanted}: {text}");
    assert!(read(&at("h/histograms.hlog")).contains("Tag=cpus=2;strategy=batched.kmap,0.000,"));

    // Medians of three seeds are the values in the middle.
    well(&[&"export", &"table", &all, &"--metric", &"cycles", &"--out", &at("t.csv")]);
    let table = read(&at("t.csv"));
    for line in table.lines().skip(1) {
        let (name, rest) = line.trim_start_matches('"').split_once("\",3,").unwrap();
        let median: f64 = rest.split(',').next().unwrap().parse().unwrap();
        let same = |c: &&serde_json::Value| {
            let of = |key: &str| c["set"][key].as_str().unwrap();
            name == format!("cpus={},strategy={}", of("cpus"), of("strategy"))
        };
        let mut cycles: Vec<f64> =
            cells.iter().filter(same).map(|c| c["report"]["rows"][0]["cycles"].as_f64().unwrap()).collect();
        cycles.sort_by(f64::total_cmp);
        assert_eq!((cycles.len(), cycles[1]), (3, median), "{name}");
    }
    assert_eq!(table.lines().count(), 5);

    well(&[&"export", &"curve", &all, &"--x", &"cpus", &"--out", &at("c")]);
    let svg = read(&at("c/cycles_per_op-by-cpus.svg"));
    assert!(
        svg.contains("<desc>shootdown") && svg.contains("12 cells") && svg.matches("<polyline").count() == 2
    );
    let data = read(&at("c/cycles_per_op-by-cpus.dat"));
    assert_eq!(data.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).count(), 4);

    // As a paper takes it.
    well(&[&"export", &"table", &all, &"--out", &at("t.tex")]);
    let paper = "\\documentclass{article}\\usepackage{booktabs,pgfplots}\\pgfplotsset{compat=1.17}\n\
        \\begin{document}\\small\\input{t.tex}\n\n\\input{c/cycles_per_op-by-cpus.tex}\\end{document}\n";
    std::fs::write(at("paper.tex"), paper).unwrap();
    let latex = Command::new("pdflatex")
        .args(["-interaction=nonstopmode", "-halt-on-error", "paper.tex"])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output();
    match latex {
        Ok(done) => {
            let log = String::from_utf8_lossy(&done.stdout).into_owned();
            // A distribution without pgfplots proves nothing.
            if log.contains("pgfplots.sty' not found") || log.contains("booktabs.sty' not found") {
                println!("SKIPPED: pdflatex has no pgfplots or booktabs");
            } else {
                assert!(done.status.success() && at("paper.pdf").is_file(), "{log}");
                println!("pdflatex takes the table and the figure");
            }
        }
        Err(_) => println!("SKIPPED: pdflatex is not installed"),
    }
}

#[test]
fn bad_input_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("no.jsonl"), "{\"a\":1}\n").unwrap();
    let run = ["run", "--mem", "64M", "--cpus", "1", "--set", "normal=16M", "--set", "window=64"];
    let mut words: Vec<&dyn AsRef<std::ffi::OsStr>> =
        run.iter().map(|w| w as &dyn AsRef<std::ffi::OsStr>).collect();
    let one = at("one.json");
    let rest = ["--set", "pages=128", "--set", "ops=20", "--set", "warmup=5", "--format", "json", "--out"];
    words.extend(rest.iter().map(|w| w as &dyn AsRef<std::ffi::OsStr>));
    words.push(&one);
    well(&words);
    let out = at("out");
    let cases: [(Vec<&dyn AsRef<std::ffi::OsStr>>, &str); 5] = [
        (vec![&"histograms", &"/nowhere.jsonl", &"--out", &out], "/nowhere.jsonl: cannot read the results"),
        (vec![&"histograms", &"no.jsonl", &"--out", &out], "no.jsonl"),
        (vec![&"table", &one, &"--metric", &"colour", &"--out", &"t.csv"], "there is no metric colour"),
        (vec![&"table", &one, &"--out", &"t.pdf"], "accepted are names that end in .tex or .csv"),
        (vec![&"curve", &one, &"--x", &"cpus", &"--out", &out], "cpus does not vary between the cells"),
    ];
    for (words, wanted) in cases {
        let mut all: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"export"];
        all.extend(words);
        let done = shootdown(&all);
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(
            done.status.code() == Some(2) && told.contains(wanted) && told.lines().count() == 1,
            "{told}"
        );
        assert!(!out.exists());
    }
}
