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

    figures(dir.path(), &all, &cells);
    well(&[&"export", &"table", &all, &"--out", &at("t.tex")]);
    latex(dir.path());
    gnuplot(dir.path());
}

/// The figures, by the stems of their files.
const FIGURES: [&str; 5] = [
    "cycles_per_op-by-cpus",
    "kmap-cdf",
    "cycles_per_op-relative-by-strategy",
    "ledger",
    "invlpg-per-operations-by-cpus",
];

/// Draws all figures into `c` and holds what they say against the cells.
fn figures(dir: &Path, all: &Path, cells: &[serde_json::Value]) {
    let c = dir.join("c");
    well(&[&"export", &"curve", &all, &"--x", &"cpus", &"--out", &c]);
    well(&[&"export", &"curve", &all, &"--x", &"cpus", &"--y", &"invlpg/operations", &"--out", &c]);
    well(&[&"export", &"cdf", &all, &"--out", &c]);
    well(&[&"export", &"bars", &all, &"--base", &"batched", &"--out", &c]);
    well(&[&"export", &"ledger", &all, &"--out", &c]);
    for stem in FIGURES {
        let at = |kind: &str| c.join(format!("{stem}.{kind}"));
        // Each says the command and the cells that it comes from.
        for kind in ["svg", "tex", "dat"] {
            let text = read(&at(kind));
            let origin =
                text.lines().find(|l| l.contains("shootdown 0")).unwrap_or_else(|| panic!("{stem}.{kind}"));
            for word in ["export ", "of all.jsonl (sha256 ", "12 cells: ", "3 seeds from 1 to 3"] {
                assert!(origin.contains(word), "{stem}.{kind}: {origin}");
            }
        }
    }
    let rows = |stem: &str| -> Vec<Vec<f64>> {
        let data = read(&c.join(format!("{stem}.dat")));
        let lines = data.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
        // A name in quotes is no number.
        let numbers = |l: &str| {
            l.rsplit('"').next().unwrap_or(l).split_whitespace().map(|w| w.parse().unwrap()).collect()
        };
        lines.map(numbers).collect()
    };
    let cell = |cpus: &str, strategy: &str, seed: &str| {
        let same = |c: &&serde_json::Value| {
            let set = &c["set"];
            set["cpus"] == cpus && set["strategy"] == strategy && set["seed"] == seed
        };
        &cells.iter().find(same).unwrap()["report"]["rows"][0]
    };
    let middle = |mut values: [f64; 3]| {
        values.sort_by(f64::total_cmp);
        values[1]
    };
    let number = |row: &serde_json::Value, key: &str| row[key].as_f64().unwrap();

    assert_eq!(read(&c.join("cycles_per_op-by-cpus.svg")).matches("<polyline").count(), 2);
    let curve = rows("cycles_per_op-by-cpus");
    assert_eq!(curve.len(), 4);
    assert_eq!(curve[1][1], middle(["1", "2", "3"].map(|s| number(cell("2", "atomic", s), "cycles_per_op"))));
    assert_eq!(rows("invlpg-per-operations-by-cpus")[0][1], 1.0, "atomic: one invlpg per map");

    // A distribution ends with everything at the greatest value of all seeds.
    let cdf = read(&c.join("kmap-cdf.dat"));
    let last: Vec<f64> =
        cdf.trim_end().lines().last().unwrap().split(' ').map(|w| w.parse().unwrap()).collect();
    let greatest = ["1", "2", "3"].map(|s| number(&cell("2", "batched", s)["kmap_latency"], "max"));
    assert_eq!(last, [greatest.into_iter().fold(0.0, f64::max), 1.0, 1.0, 1.0, 3.0]);

    // Ratios are of equal seeds; the base has 1.
    let ratios = ["1", "2", "3"].map(|s| {
        number(cell("2", "atomic", s), "cycles_per_op") / number(cell("2", "batched", s), "cycles_per_op")
    });
    let bars = rows("cycles_per_op-relative-by-strategy");
    assert_eq!((bars.len(), bars[1][0], &bars[1][3..]), (2, middle(ratios), &[1.0, 1.0, 1.0][..]));

    // The parts sum to the whole, which is all cycles over all operations.
    for bar in rows("ledger") {
        assert!(
            (bar[4..].iter().sum::<f64>() - bar[0]).abs() < 1e-6 * bar[0]
                && bar[1] <= bar[0]
                && bar[0] <= bar[2]
        );
    }
    let svg = c.join("one.svg");
    well(&[&"export", &"ledger", &all, &"--only", &"cpus=2", &"--only", &"strategy=atomic", &"--out", &svg]);
    assert_eq!(read(&svg).matches("--only cpus=2 --only strategy=atomic of all.jsonl").count(), 1);
    assert!(!read(&svg).contains("batched"));
}

/// As a paper takes it.
fn latex(dir: &Path) {
    let at = |name: &str| dir.join(name);
    let figures: String = FIGURES.iter().map(|stem| format!("\\input{{c/{stem}.tex}}\n\n")).collect();
    let paper = format!(
        "\\documentclass{{article}}\\usepackage{{booktabs,pgfplots}}\\pgfplotsset{{compat=1.17}}\n\
         \\begin{{document}}\\small\\input{{t.tex}}\n\n{figures}\\end{{document}}\n"
    );
    std::fs::write(at("paper.tex"), paper).unwrap();
    let latex = Command::new("pdflatex")
        .args(["-interaction=nonstopmode", "-halt-on-error", "paper.tex"])
        .current_dir(dir)
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
                println!("pdflatex takes the table and {} figures", FIGURES.len());
            }
        }
        Err(_) => println!("SKIPPED: pdflatex is not installed"),
    }
}

/// The command that stands in each file of data draws it.
fn gnuplot(dir: &Path) {
    let mut drawn = 0;
    for stem in FIGURES {
        let data = read(&dir.join(format!("c/{stem}.dat")));
        let command = data.lines().find_map(|line| line.strip_prefix("# gnuplot: ")).unwrap();
        let script = format!("set terminal svg; set output '{stem}.out.svg'; {command}");
        let Ok(done) = Command::new("gnuplot").args(["-e", &script]).current_dir(dir.join("c")).output()
        else {
            println!("SKIPPED: gnuplot is not installed");
            return;
        };
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success() && told.is_empty(), "{stem}: {told}");
        assert!(read(&dir.join(format!("c/{stem}.out.svg"))).contains("</svg>"));
        drawn += 1;
    }
    println!("gnuplot draws {drawn} figures");
}

#[test]
fn bad_input_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("no.jsonl"), "{\"a\":1}\n").unwrap();
    let run = [
        "run",
        "--strategy",
        "atomic",
        "--mem",
        "64M",
        "--cpus",
        "1",
        "--set",
        "normal=16M",
        "--set",
        "window=64",
    ];
    let mut words: Vec<&dyn AsRef<std::ffi::OsStr>> =
        run.iter().map(|w| w as &dyn AsRef<std::ffi::OsStr>).collect();
    let one = at("one.json");
    let rest = ["--set", "pages=128", "--set", "ops=20", "--set", "warmup=5", "--format", "json", "--out"];
    words.extend(rest.iter().map(|w| w as &dyn AsRef<std::ffi::OsStr>));
    words.push(&one);
    well(&words);
    let out = at("out");
    let cases: [(Vec<&dyn AsRef<std::ffi::OsStr>>, &str); 10] = [
        (vec![&"histograms", &"/nowhere.jsonl", &"--out", &out], "/nowhere.jsonl: cannot read the results"),
        (vec![&"histograms", &"no.jsonl", &"--out", &out], "no.jsonl"),
        (vec![&"table", &one, &"--metric", &"colour", &"--out", &"t.csv"], "there is no metric colour"),
        (vec![&"table", &one, &"--out", &"t.pdf"], "accepted are names that end in .tex or .csv"),
        (vec![&"table", &one, &"--metric", &"cycles/wraps", &"--out", &"t.csv"], "wraps is 0 in a cell"),
        (vec![&"curve", &one, &"--x", &"cpus", &"--out", &out], "cpus does not vary between the cells"),
        (vec![&"bars", &one, &"--out", &out], "--by: strategy does not vary between the cells"),
        (vec![&"cdf", &one, &"--latency", &"target", &"--out", &out], "no cell recorded the latency target"),
        (vec![&"ledger", &one, &"--only", &"cpus=3", &"--out", &out], "cpus never is '3'; accepted are 1"),
        (vec![&"ledger", &one, &"--only", &"colour", &"--out", &out], "'colour' has no '='"),
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
