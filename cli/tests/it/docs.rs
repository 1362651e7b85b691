//! Documents name files and commands; both move on. What they name must be there.

use std::fs;
use std::process::Command;

use crate::edges::root;

const DOCUMENTS: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/operating.md",
    "docs/adr/README.md",
    "docs/defects.md",
];

/// Words in backticks that look like a path of this repository.
fn paths(text: &str) -> Vec<&str> {
    let inline = text
        .split("```")
        .step_by(2)
        .flat_map(|prose| prose.split('`').skip(1).step_by(2));
    let is_path = |word: &&str| {
        let plain = word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        plain
            && word.contains('/')
            && !word.starts_with('/')
            && !word.starts_with("target/")
            && !word.contains("..")
    };
    inline.filter(is_path).collect()
}

/// Targets of links that stay in the repository.
fn links(text: &str) -> Vec<&str> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#']).next());
    targets
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .collect()
}

#[test]
fn files_that_documents_name_are_there() {
    let root = root();
    let mut missing = Vec::new();
    for document in DOCUMENTS {
        let text = fs::read_to_string(root.join(document)).unwrap();
        let folder = root.join(document).parent().unwrap().to_owned();
        missing.extend(
            paths(&text)
                .iter()
                .filter(|path| !root.join(path).exists())
                .map(|p| format!("{document}: {p}")),
        );
        missing.extend(
            links(&text)
                .iter()
                .filter(|path| !folder.join(path).exists())
                .map(|p| format!("{document}: {p}")),
        );
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn targets_of_make_that_documents_name_are_there() {
    let root = root();
    let makefile = fs::read_to_string(root.join("Makefile")).unwrap();
    for document in DOCUMENTS {
        let text = fs::read_to_string(root.join(document)).unwrap();
        for rest in text.split("`make ").skip(1) {
            let target = rest
                .split(|c: char| !c.is_ascii_lowercase() && c != '-')
                .next()
                .unwrap();
            assert!(
                makefile.contains(&format!("\n{target}:")),
                "{document}: make {target}"
            );
        }
    }
}

/// Cells of the rows of a table, without its head.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().filter(|line| line.starts_with("| "));
    lines
        .skip(1)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

/// Whether the file has a test of that name: a function behind an attribute that makes it one.
fn has_test(source: &str, name: &str) -> bool {
    let declared = [format!("fn {name}()"), format!("fn {name}(\n")];
    let lines: Vec<&str> = source.lines().collect();
    lines.iter().enumerate().any(|(at, line)| {
        let is_it = declared
            .iter()
            .any(|form| format!("{line}\n").contains(form.as_str()));
        let attributes = lines[..at]
            .iter()
            .rev()
            .map(|line| line.trim())
            .take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        is_it && { attributes }.any(|line| line == "#[test]" || line.starts_with("#[tokio::test"))
    })
}

#[test]
fn each_mistake_has_a_test_that_is_there() {
    let text = fs::read_to_string(root().join("docs/defects.md")).unwrap();
    let rows = rows(&text);
    assert!(rows.len() > 18, "{} mistakes", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let [mistake, instead, tests] = row[..] else {
            panic!("not three cells: {row:?}")
        };
        let tests: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if tests.is_empty() != instead.contains("not built yet") {
            wrong.push(format!("{mistake}: a test, or \"not built yet\""));
        }
        for test in tests {
            let (file, name) = test.split_once("::").unwrap_or((test, ""));
            let source = fs::read_to_string(root().join(file)).unwrap_or_default();
            if !has_test(&source, name) {
                wrong.push(format!("{mistake}: {test}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn a_test_is_told_from_other_functions() {
    let source = "#[test]\nfn one() {\n}\nfn helper() {}\n#[tokio::test]\nasync fn two() {\n}\n";
    assert!(has_test(source, "one") && has_test(source, "two"));
    assert!(!has_test(source, "helper") && !has_test(source, "on"));
    assert_eq!(rows("| a | b |\n|---|---|\n| c | d |\n"), [["c", "d"]]);
}

/// A command of ours in a document: its subcommands and its flags.
fn command(words: &str) -> (Vec<&str>, Vec<&str>) {
    let is_subcommand = |word: &&str| {
        word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
    };
    let subcommands = words.split_whitespace().take_while(is_subcommand).collect();
    let flags = words
        .split_whitespace()
        .filter(|word| word.starts_with("--"));
    (
        subcommands,
        flags.map(|flag| flag.split('=').next().unwrap()).collect(),
    )
}

/// What follows `mast` in commands: lines of a shell block, and words in backticks.
fn commands(text: &str) -> Vec<&str> {
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("target/release/mast "));
    let inline = text
        .split("`mast ")
        .skip(1)
        .filter_map(|rest| rest.split('`').next());
    lines.chain(inline).collect()
}

#[test]
fn commands_that_documents_show_are_those_of_the_binary() {
    let mut wrong = Vec::new();
    for document in DOCUMENTS {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for shown in commands(&text) {
            let (subcommands, flags) = command(shown);
            let mut mast = Command::new(env!("CARGO_BIN_EXE_mast"));
            let help = mast.args(&subcommands).arg("--help").output().unwrap();
            let text = String::from_utf8_lossy(&help.stdout).into_owned();
            let unknown = flags.iter().any(|flag| !text.contains(flag));
            if !help.status.success() || unknown {
                wrong.push(format!("{document}: mast {shown}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn a_command_is_taken_apart() {
    let text =
        "`mast verify` and\n```\ntarget/release/mast simulate ctl --socket=x rain site=3\n```";
    assert_eq!(
        commands(text),
        ["simulate ctl --socket=x rain site=3", "verify"]
    );
    assert_eq!(
        command("simulate ctl --socket=x rain"),
        (vec!["simulate", "ctl"], vec!["--socket"])
    );
    assert_eq!(
        command("query \"SELECT\" --data d"),
        (vec!["query"], vec!["--data"])
    );
}

#[test]
fn paths_and_links_are_told_from_other_words() {
    let text = "see `a/b.rs`, `word`, `/etc/x`, `mast query`, [x](c/d.md#e), [y](https://example.org/f)\n```\n`g/h`\n```\n`i/`";
    assert_eq!(paths(text), ["a/b.rs", "i/"]);
    assert_eq!(links(text), ["c/d.md"]);
}
