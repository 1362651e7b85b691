//! The service keeps what its document says, whatever is asked: Schemathesis makes requests from the document, good ones and
//! bad ones, sends them over a socket, and compares each answer with it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::served::serve;
use crate::world::World;

/// Each answer: no failure of ours, and a status, a type, headers and a body that the document has. That none is given to
/// nobody is a test of its own: the many bad tokens that Schemathesis would try for it are refused as too many.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,unsupported_method,allow_header_conformance";

/// Where it stays installed from run to run.
fn installed() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis")
}

/// Runs a program to its end; what it said, if it is not content.
async fn run(command: &mut Command) -> Result<(), String> {
    let shown = format!("{:?}", command.as_std());
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap_or_else(|error| {
            panic!("{shown}: {error}; deploy/dev/install.sh --tests installs what is missing")
        });
    if output.status.success() {
        return Ok(());
    }
    let (said, failed) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Err(format!("{shown}\n{said}\n{failed}"))
}

fn content(ended: Result<(), String>) {
    if let Err(said) = ended {
        panic!("{said}");
    }
}

async fn install(venv: &Path) -> Result<(), String> {
    if !venv.join("bin/python").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(venv)).await?;
    }
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requirements.txt");
    let pip = "-m pip install --quiet --disable-pip-version-check --require-hashes -r";
    run(Command::new(venv.join("bin/python"))
        .args(pip.split(' '))
        .arg(requirements))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_one_of_the_document() {
    let venv = installed();
    content(install(&venv).await);
    let world = World::new().await;
    let server = serve(&world, |config| config.rate.per_second = 100_000).await;
    let token = world.super_admin().await.token.unwrap();
    let mut schemathesis = Command::new(venv.join("bin/schemathesis"));
    schemathesis
        .current_dir(world.folder.path())
        .args(["run", "--no-color", "--generation-deterministic"])
        .args(["--phases", "examples,coverage,fuzzing"])
        // One worker: with more, Python 3.11 now and then loses count of how deep its parser is ("AST constructor recursion
        // depth mismatch"), for all threads share that count.
        .args(["--max-examples", "10", "--workers", "1", "--checks", CHECKS])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--header", "Mast-Tenant: tenant-AAA"])
        // A stream never ends: it has tests of its own.
        .args(["--exclude-path", "/api/v1/stream"])
        .arg(format!("http://{}/api/v1/openapi.json", server.address()));
    content(run(&mut schemathesis).await);
}
