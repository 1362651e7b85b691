//! Documents name files and commands; both move on. What they name must be there.

use std::fs;

use crate::edges::root;

const DOCUMENTS: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/adr/README.md",
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

#[test]
fn paths_and_links_are_told_from_other_words() {
    let text = "see `a/b.rs`, `word`, `/etc/x`, `mast query`, [x](c/d.md#e), [y](https://example.org/f)\n```\n`g/h`\n```\n`i/`";
    assert_eq!(paths(text), ["a/b.rs", "i/"]);
    assert_eq!(links(text), ["c/d.md"]);
}
