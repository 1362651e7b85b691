//! The private server through the deaths of its parent.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mast_postgres::{PostgresError, Private, Role, migrate};

const FOLDER: &str = "MAST_TEST_PRIVATE_FOLDER";

/// A folder under `target/`, which the server's user can enter, unlike most temporary ones.
fn folder() -> tempfile::TempDir {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target")),
        PathBuf::from,
    );
    let dir = tempfile::tempdir_in(target).unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

fn server_pid(data: &Path) -> u32 {
    let text = std::fs::read_to_string(data.join("cluster/postmaster.pid")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}/cwd")).exists()
        && std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok()
}

/// Not a test of its own: what the child process of the next ones does.
#[tokio::test]
async fn child_starts_a_server_and_waits() {
    let Some(data) = std::env::var_os(FOLDER) else {
        return;
    };
    let server = Private::start(Path::new(&data)).await.unwrap();
    migrate(&server.pool(Role::Owner, 1).await.unwrap())
        .await
        .unwrap();
    let dataflow = server.pool(Role::Dataflow, 1).await.unwrap();
    sqlx::query("INSERT INTO relay_progress VALUES ('kept', 7)")
        .execute(&dataflow)
        .await
        .unwrap();
    println!("\nready");
    std::future::pending::<()>().await;
}

/// Starts a server in a process of its own and kills that process.
fn start_in_a_child_and_kill_it(data: &Path) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "private::child_starts_a_server_and_waits",
            "--nocapture",
        ])
        .env(FOLDER, data)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap() == "ready"),
        "the child did not come up"
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

async fn kept(server: &Private) -> i64 {
    let dataflow = server.pool(Role::Dataflow, 1).await.unwrap();
    sqlx::query_scalar("SELECT outbox_id FROM relay_progress WHERE name = 'kept'")
        .fetch_one(&dataflow)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_server_whose_parent_was_killed_is_adopted() {
    let dir = folder();
    let data = dir.path().join("postgres");
    start_in_a_child_and_kill_it(&data);
    let orphan = server_pid(&data);
    assert!(alive(orphan));

    let server = Private::start(&data).await.unwrap();
    assert_eq!(server_pid(&data), orphan, "the same server");
    assert_eq!(kept(&server).await, 7);
    server.stop().await.unwrap();
    assert!(!alive(orphan), "stopped with its second parent");
}

#[tokio::test]
async fn a_killed_server_is_started_again_with_all_that_was_committed() {
    let dir = folder();
    let data = dir.path().join("postgres");
    start_in_a_child_and_kill_it(&data);
    let first = server_pid(&data);
    assert!(
        Command::new("kill")
            .args(["-KILL", &first.to_string()])
            .status()
            .unwrap()
            .success()
    );

    let server = Private::start(&data).await.unwrap();
    assert_ne!(server_pid(&data), first);
    assert_eq!(kept(&server).await, 7);
    drop(server);
    assert!(
        !data.join("cluster/postmaster.pid").exists(),
        "dropping stops it"
    );
}

#[tokio::test]
async fn a_pid_file_that_names_another_program_is_stale() {
    let dir = folder();
    let data = dir.path().join("postgres");
    Private::start(&data).await.unwrap().stop().await.unwrap();
    let mine = format!(
        "{}\n{}\n0\n5432\n",
        std::process::id(),
        data.join("cluster").display()
    );
    std::fs::write(data.join("cluster/postmaster.pid"), mine).unwrap();
    std::fs::write(
        data.join(".s.PGSQL.5432.lock"),
        format!("{}\n", std::process::id()),
    )
    .unwrap();
    Private::start(&data).await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn a_second_process_is_kept_out() {
    let dir = folder();
    let data = dir.path().join("postgres");
    let server = Private::start(&data).await.unwrap();
    assert!(matches!(
        Private::start(&data).await,
        Err(PostgresError::InUse { .. })
    ));
    assert_eq!(server.socket_dir(), data.canonicalize().unwrap());
    let mode = std::fs::metadata(server.socket_dir())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(
        mode & 0o777,
        0o700,
        "the folder's mode is the access control"
    );
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_has_it_elsewhere() {
    let dir = folder();
    let data = dir.path().join("x".repeat(120));
    let server = Private::start(&data).await.unwrap();
    let socket_dir = server.socket_dir().to_owned();
    assert!(socket_dir.starts_with("/tmp"), "{}", socket_dir.display());
    assert_eq!(
        std::fs::metadata(&socket_dir).unwrap().permissions().mode() & 0o777,
        0o700
    );
    migrate(&server.pool(Role::Owner, 1).await.unwrap())
        .await
        .unwrap();
    server.stop().await.unwrap();

    std::fs::set_permissions(&socket_dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    let refused = Private::start(&data).await.unwrap_err();
    assert!(
        matches!(refused, PostgresError::SocketFolder { .. }),
        "{refused}"
    );
    std::fs::remove_dir_all(&socket_dir).unwrap();
}
