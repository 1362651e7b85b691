//! Who may know whom. Knowledge points one way, so that each part can be read, built and tested without those above it.
//!
//! Normal and build dependencies are held, as the manifests declare them, optional ones too. Development dependencies are
//! free: a test may bring in whatever it compares with. Two things are held there all the same: the oracle never meets
//! what it judges, and `routeros-api` stays usable on its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Each crate with those of ours that it may depend on. `mast-postgres` is in `migrations/`.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("routeros-api", &[]),
    ("mast-schemas", &[]),
    ("mast-log", &["mast-schemas"]),
    ("mast-secrets", &["mast-schemas"]),
    ("mast-state", &["mast-schemas"]),
    ("mast-oracle", &["mast-schemas"]),
    ("mast-postgres", &["mast-schemas"]),
    ("mast-lake", &["mast-postgres", "mast-schemas"]),
    (
        "mast-query",
        &["mast-lake", "mast-postgres", "mast-schemas"],
    ),
    (
        "mast-notify",
        &["mast-postgres", "mast-schemas", "mast-secrets"],
    ),
    (
        "mast-api",
        &[
            "mast-notify",
            "mast-postgres",
            "mast-query",
            "mast-schemas",
            "mast-secrets",
            "mast-state",
        ],
    ),
    (
        "mast-ingest",
        &[
            "mast-log",
            "mast-postgres",
            "mast-schemas",
            "mast-secrets",
            "routeros-api",
        ],
    ),
    (
        "mast-dataflow",
        &[
            "mast-lake",
            "mast-log",
            "mast-postgres",
            "mast-schemas",
            "mast-state",
        ],
    ),
    ("mast-simulator", &["mast-schemas", "routeros-api"]),
    (
        FUZZ,
        &[
            "mast-dataflow",
            "mast-ingest",
            "mast-log",
            "mast-schemas",
            "mast-secrets",
            "mast-simulator",
            "routeros-api",
        ],
    ),
    (BENCHES, EVERYTHING_BELOW),
    (BINARY, EVERYTHING_BELOW),
];

const BINARY: &str = "mast";
const BENCHES: &str = "mast-benches";
/// Tries the parsers of all that reads foreign bytes; nothing depends on it.
const FUZZ: &str = "mast-fuzz";

/// What the binary and the benches may know: every crate but the binary.
const EVERYTHING_BELOW: &[&str] = &[
    "mast-api",
    "mast-benches",
    "mast-dataflow",
    "mast-ingest",
    "mast-lake",
    "mast-log",
    "mast-notify",
    "mast-oracle",
    "mast-postgres",
    "mast-query",
    "mast-schemas",
    "mast-secrets",
    "mast-simulator",
    "mast-state",
    "routeros-api",
];

/// Crates that must not reach another one over any path. Most of it follows from the table; it stays said if the table
/// changes.
const NEVER_REACHES: &[(&str, &[&str])] = &[
    (
        "mast-api",
        &[
            "mast-ingest",
            "mast-dataflow",
            "timely",
            "differential-dataflow",
        ],
    ),
    (
        "mast-query",
        &[
            "mast-ingest",
            "mast-dataflow",
            "timely",
            "differential-dataflow",
        ],
    ),
    (
        "mast-notify",
        &[
            "mast-ingest",
            "mast-dataflow",
            "mast-query",
            "timely",
            "datafusion",
        ],
    ),
    (
        "mast-ingest",
        &[
            "mast-dataflow",
            "timely",
            "differential-dataflow",
            "datafusion",
        ],
    ),
    (
        "mast-state",
        &[
            "timely",
            "differential-dataflow",
            "tokio",
            "sqlx",
            "mast-log",
        ],
    ),
    (
        "mast-oracle",
        &[
            "timely",
            "differential-dataflow",
            "tokio",
            "sqlx",
            "mast-state",
        ],
    ),
    ("mast-schemas", &["tokio", "sqlx"]),
];

/// Development dependencies that are not free.
const NEVER_IN_TESTS: &[(&str, &[&str])] = &[
    ("mast-oracle", &["mast-state", "mast-dataflow"]),
    ("routeros-api", EVERYTHING_BELOW),
];

fn workspace() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap()
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Names of what a crate declares, in normal and build use, or in development.
fn declared(package: &Package, development: bool) -> BTreeSet<String> {
    let of_use = |kind| (kind == DependencyKind::Development) == development;
    let used = package
        .dependencies
        .iter()
        .filter(|dependency| of_use(dependency.kind));
    used.map(|dependency| dependency.name.clone()).collect()
}

/// Of each crate of ours, all names it can reach over ours.
fn reachable(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let packages = metadata.workspace_packages();
    let mut reach: BTreeMap<String, BTreeSet<String>> = packages
        .iter()
        .map(|package| (package.name.to_string(), declared(package, false)))
        .collect();
    loop {
        let before: usize = reach.values().map(BTreeSet::len).sum();
        for name in reach.keys().cloned().collect::<Vec<_>>() {
            let further: Vec<String> = reach[&name]
                .iter()
                .filter_map(|next| reach.get(next))
                .flatten()
                .cloned()
                .collect();
            reach.get_mut(&name).unwrap().extend(further);
        }
        if reach.values().map(BTreeSet::len).sum::<usize>() == before {
            return reach;
        }
    }
}

#[test]
fn a_crate_knows_only_those_it_may() {
    let metadata = workspace();
    let may_know: BTreeMap<&str, &[&str]> = MAY_KNOW.iter().copied().collect();
    let ours: BTreeSet<String> = metadata
        .workspace_packages()
        .iter()
        .map(|p| p.name.to_string())
        .collect();
    let mut breaches = Vec::new();
    for package in metadata.workspace_packages() {
        let Some(may) = may_know.get(package.name.as_str()) else {
            breaches.push(format!(
                "{} is not in the table: decide whom it may know",
                package.name
            ));
            continue;
        };
        for name in declared(package, false).intersection(&ours) {
            if !may.contains(&name.as_str()) {
                breaches.push(format!("{} must not depend on {name}", package.name));
            }
        }
    }
    assert_eq!(breaches, Vec::<String>::new());
}

#[test]
fn what_must_stay_apart_is_not_reached_over_others_either() {
    let reach = reachable(&workspace());
    assert!(
        reach[BINARY].contains("timely"),
        "paths over our crates are not followed: {reach:?}"
    );
    for (name, never) in NEVER_REACHES {
        for other in *never {
            let reached = reach.get(*name).is_some_and(|reach| reach.contains(*other));
            assert!(!reached, "{name} reaches {other}");
        }
    }
}

#[test]
fn only_the_binary_the_benches_and_the_fuzzing_bring_the_simulator() {
    for package in workspace().workspace_packages() {
        let brings = declared(package, false).contains("mast-simulator");
        assert!(
            !brings || [BINARY, BENCHES, FUZZ].contains(&package.name.as_str()),
            "{}",
            package.name
        );
    }
}

#[test]
fn the_oracle_never_meets_what_it_judges() {
    let metadata = workspace();
    for package in metadata.workspace_packages() {
        let names = declared(package, true);
        for (_, never) in NEVER_IN_TESTS
            .iter()
            .filter(|(name, _)| *name == package.name.as_str())
        {
            let met: Vec<&String> = names
                .iter()
                .filter(|name| never.contains(&name.as_str()))
                .collect();
            assert!(
                met.is_empty(),
                "tests of {} depend on {met:?}",
                package.name
            );
        }
    }
}

#[test]
fn timely_and_differential_are_declared_by_the_dataflow_alone() {
    for package in workspace().workspace_packages() {
        let names = declared(package, false);
        let declares = names.contains("timely") || names.contains("differential-dataflow");
        assert_eq!(
            declares,
            package.name == "mast-dataflow",
            "{}",
            package.name
        );
    }
}

/// Whoever can't reach the facade can't make up a name: metrics are those of `mast_schemas::metric`. The binary exports them.
#[test]
fn the_facade_of_metrics_is_declared_by_the_schemas_alone() {
    for package in workspace().workspace_packages() {
        let mut names = declared(package, false);
        names.extend(declared(package, true));
        assert_eq!(
            names.contains("metrics"),
            package.name == "mast-schemas",
            "{}",
            package.name
        );
        assert!(
            !names.contains("metrics-exporter-prometheus") || package.name == BINARY,
            "{}",
            package.name
        );
    }
}

/// Everything about moving data is in one folder: whoever reads or tests the rest needs no knowledge of timely. The
/// dataflow's tests may name it, for a second plan to compare with.
#[test]
fn timely_and_differential_are_named_in_the_flow_alone() {
    let root = root();
    let allowed = [
        "dataflow/src/flow",
        "dataflow/tests",
        "cli/tests/it/edges.rs",
    ]
    .map(|path| root.join(path));
    let mut named = Vec::new();
    let mut seen_in_flow = false;
    for package in workspace().workspace_packages() {
        let folder = package.manifest_path.parent().unwrap();
        for file in sources(folder.as_std_path()) {
            let hits = lines_naming_timely(&fs::read_to_string(&file).unwrap());
            if allowed.iter().any(|folder| file.starts_with(folder)) {
                seen_in_flow |= file.starts_with(&allowed[0]) && !hits.is_empty();
            } else {
                let file = file.strip_prefix(&root).unwrap().display().to_string();
                named.extend(hits.iter().map(|line| format!("{file}:{line}")));
            }
        }
    }
    assert!(seen_in_flow, "the scan finds nothing where it must");
    named.sort();
    named.dedup();
    assert_eq!(
        named,
        Vec::<String>::new(),
        "move this to dataflow/src/flow"
    );
}

/// Rust files of a crate, without those of crates in folders below it and of build output.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.join("Cargo.toml").exists() && !path.ends_with("target") {
                files.extend(sources(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Numbers of the lines of code, not comment, that name one of the two crates in a path or a `use`.
fn lines_naming_timely(source: &str) -> Vec<usize> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let names = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        let imports = code.contains("use ") || code.contains("extern crate ");
        ["timely", "differential_dataflow"].iter().any(|name| {
            code.match_indices(name).any(|(at, _)| {
                let after = &code[at + name.len()..];
                let whole = !code[..at].ends_with(word) && !after.starts_with(word);
                whole && (imports || after.starts_with("::"))
            })
        })
    };
    source
        .lines()
        .enumerate()
        .filter(|(_, line)| names(line))
        .map(|(at, _)| at + 1)
        .collect()
}

#[test]
fn the_scan_tells_code_from_words() {
    let source = "use timely::dataflow;\n// timely::x\nlet not_timely = 1;\nuse crate::flow::{self, timely};\n\
                  \"timely\",\nuse differential_dataflow as dd;\nx: timely::Config,\n";
    assert_eq!(lines_naming_timely(source), [1, 4, 6, 7]);
}

#[test]
fn a_crate_has_one_readme_that_is_its_documentation() {
    for package in workspace().workspace_packages() {
        let folder = package.manifest_path.parent().unwrap();
        assert!(
            folder.join("README.md").exists(),
            "{folder}/README.md is missing"
        );
        let root_file = package
            .targets
            .iter()
            .find(|target| target.is_lib() || target.is_bin())
            .unwrap();
        let text = fs::read_to_string(&root_file.src_path).unwrap();
        let includes = text.contains("#![doc = include_str!(\"../README.md\")]");
        assert!(
            includes,
            "{} does not include its README.md",
            root_file.src_path
        );
    }
}

#[test]
fn a_crate_has_at_most_one_binary_of_integration_tests() {
    for package in workspace().workspace_packages() {
        let tests: Vec<&str> = package
            .targets
            .iter()
            .filter(|t| t.is_test())
            .map(|t| t.name.as_str())
            .collect();
        assert!(
            tests.is_empty() || tests == ["it"],
            "{}: {tests:?}",
            package.name
        );
    }
}

/// All crates are held to the lints of the workspace, and none of them goes out by mistake.
#[test]
fn a_crate_takes_the_lints_of_the_workspace() {
    for package in workspace().workspace_packages() {
        let manifest = fs::read_to_string(&package.manifest_path).unwrap();
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{}",
            package.manifest_path
        );
        assert_eq!(
            package.publish.as_deref(),
            Some([].as_slice()),
            "{}",
            package.manifest_path
        );
        assert_eq!(
            package.license.as_deref(),
            Some("Apache-2.0"),
            "{}",
            package.manifest_path
        );
    }
}
