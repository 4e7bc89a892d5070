//! What somebody meets who installs the pool.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::Output;

use tempfile::TempDir;

use crate::node::{Chain, Node};
use crate::pool::{self, Pool, command};
use crate::ports;
use crate::settings::{MINER_ADDRESS, Settings, pool_address};

/// Runs the program to its end, with these flags besides.
#[track_caller]
fn run(folder: &TempDir, settings: &Settings, flags: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        pool::command(folder.path(), settings).args(flags).output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("its words are text");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn the_first_start_writes_the_examples_and_says_the_three_steps() {
    let settings = Settings::of(&Node::absent(Chain::Regtest));
    let folder = TempDir::new().expect("a folder");
    let (code, stdout, stderr) = run(&folder, &settings, &[]);
    assert_eq!(code, Some(1), "{stderr}");
    for step in ["1. cp ", "2. edit ", "3. start gopool again"] {
        assert!(stdout.contains(step), "{step}: {stdout}");
    }
    let examples = folder.path().join("config/examples");
    let count = fs::read_dir(&examples).expect("it was made").count();
    assert_eq!(count, 6, "config, secrets, services, policy, tuning, version_bits");
    let entries = fs::read_dir(folder.path()).expect("it is there").count();
    assert_eq!(entries, 1, "nothing but config");
    // The steps lead to a pool.
    let example = fs::read_to_string(examples.join("config.toml.example")).expect("it was written");
    let config = folder.path().join("config/config.toml");
    fs::write(&config, &example).expect("write it");
    let (code, stdout, _) = run(&folder, &settings, &["-check"]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("node.payout_address is \"PUTYOURADDRESSHERE\""), "{stdout}");
    let example = example.replace("PUT-YOUR-ADDRESS-HERE", pool_address(Chain::Regtest));
    fs::write(&config, example).expect("write it");
    // Its ports may be somebody's on this machine.
    let any_port = "127.0.0.1:0";
    let flags = ["-listen", any_port, "-stratum-tls", any_port, "-status", any_port];
    let flags = [&["-check", "-status-tls", any_port], &flags[..]].concat();
    let (code, stdout, _) = run(&folder, &settings, &flags);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.ends_with("The pool would start.\n"), "{stdout}");
}

/// What the pool and the node would do together is said, and nothing is touched.
#[test]
fn a_check_asks_the_node_and_writes_nothing() {
    let node = Node::new(Chain::Regtest);
    let mut settings = Settings::of(&node);
    let folder = TempDir::new().expect("a folder");
    settings.write(folder.path());
    let (code, stdout, stderr) = run(&folder, &settings, &["-check", "-max-conns", "7"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    for words in [
        "chain regtest, 0 of 0 blocks",
        "/Satoshi:",
        "max_conns = 7",
        "-max-conns\n",
        "Stratum over TLS   off",
        settings.payout_address.as_str(),
    ] {
        assert!(stdout.contains(words), "{words}: {stdout}");
    }
    let names: Vec<_> = fs::read_dir(folder.path().join("config"))
        .expect("it is there")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names.len(), 3, "the operator's three files: {names:?}");
    assert!(!folder.path().join("logs").exists() && !folder.path().join("state").exists());
    // A node of another chain is one that the pool would not work with.
    settings.network = "signet";
    settings.payout_address = pool_address(Chain::Signet).to_owned();
    settings.write(folder.path());
    let (code, stdout, _) = run(&folder, &settings, &["-check"]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("the node is on the chain \"regtest\""), "{stdout}");
}

#[test]
fn a_check_names_every_port_that_cannot_be_had() {
    let settings = Settings::of(&Node::absent(Chain::Regtest));
    let folder = TempDir::new().expect("a folder");
    settings.write(folder.path());
    let places = [
        ("-listen", "stratum"),
        ("-stratum-tls", "stratum over TLS"),
        ("-status", "status"),
        ("-status-tls", "status over HTTPS"),
    ];
    let mut flags = vec!["-check".to_owned()];
    let mut holders = Vec::new();
    for (flag, _) in places {
        // Of those that nobody is given by chance: they are to be free again afterwards.
        let holder = TcpListener::bind(ports::loopback(ports::free())).expect("a port");
        flags.extend([flag.to_owned(), holder.local_addr().expect("its address").to_string()]);
        holders.push(holder);
    }
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let (code, stdout, _) = run(&folder, &settings, &flags);
    assert_eq!(code, Some(1), "{stdout}");
    for ((_, what), holder) in places.iter().zip(&holders) {
        let address = holder.local_addr().expect("its address");
        let start = format!("error: cannot listen on {address} ({what}): ");
        let line = stdout.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("{start}: {stdout}"));
        assert!(line.ends_with("Stop what is using it, or choose another port."), "{line}");
    }
    assert!(stdout.ends_with("The pool would not start.\n"), "{stdout}");
    // Nobody has them any more, the check included.
    drop(holders);
    for _ in 0..2 {
        let (code, stdout, _) = run(&folder, &settings, &flags);
        assert_eq!(code, Some(0), "{stdout}");
    }
}

#[test]
fn a_check_beside_a_pool_that_runs_leaves_its_ports_alone() {
    let node = Node::new(Chain::Regtest);
    node.mine_to(MINER_ADDRESS, 1);
    let pool = Pool::for_node(&node);
    pool.stratum();
    let output = command(pool.folder(), &Settings::of(&node)).arg("-check").output();
    let output = output.expect("run it");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    assert!(stdout.contains("they were not tried"), "{stdout}");
}

/// A service may be given what the one who asks is not.
#[test]
fn a_port_that_this_user_may_not_have_is_a_warning_of_a_check() {
    const CAP_NET_BIND_SERVICE: libc::c_ulong = 10;
    let start = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if start.is_ok_and(|start| start.trim() == "0") {
        return;
    }
    let settings = Settings::of(&Node::absent(Chain::Regtest));
    let folder = TempDir::new().expect("a folder");
    settings.write(folder.path());
    let mut command = pool::command(folder.path(), &settings);
    command.args(["-check", "-status-tls", "127.0.0.1:1"]);
    // SAFETY: between fork and exec one system call is made, of integers; it fails for who has no
    // privileges, and then there is nothing to drop.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_CAPBSET_DROP, CAP_NET_BIND_SERVICE, 0, 0, 0);
            Ok(())
        })
    };
    let Output { status, stdout, .. } = command.output().expect("it runs");
    let stdout = String::from_utf8(stdout).expect("its words are text");
    let words = "\n  cannot listen on 127.0.0.1:1 (status over HTTPS): Permission denied";
    assert!(stdout.contains(words) && stdout.contains("CAP_NET_BIND_SERVICE"), "{stdout}");
    assert_eq!(status.code(), Some(0), "{stdout}");
}

#[test]
fn a_check_lists_all_that_is_wrong() {
    let settings = Settings::of(&Node::absent(Chain::Regtest));
    let folder = TempDir::new().expect("a folder");
    settings.write(folder.path());
    let config = folder.path().join("config");
    fs::write(config.join("policy.toml"), "[timeouts]\nconnection_timeout_seconds = 1\n").unwrap();
    fs::write(config.join("tuning.toml"), "[mining]\njob_entropy = 99\n").unwrap();
    for flags in [&["-check"][..], &[]] {
        let (code, stdout, stderr) = run(&folder, &settings, flags);
        assert_eq!(code, Some(1), "{stdout}{stderr}");
        let told = stdout + &stderr;
        for place in
            ["policy.toml:2: timeouts.connection_timeout", "tuning.toml:2: mining.job_entropy"]
        {
            assert!(told.contains(place), "{place}: {told}");
        }
    }
}

#[test]
fn a_first_real_start_makes_what_an_operator_may_look_for() {
    let node = Node::new(Chain::Regtest);
    let pool = pool::Pool::for_node(&node);
    let admin = fs::read_to_string(pool.folder().join("config/admin.toml")).expect("it is made");
    assert!(admin.contains("enabled = false"), "{admin}");
    assert!(pool.folder().join("config/examples/tuning.toml.example").exists());
}

/// Every key of every example is shown, with where it comes from.
#[test]
fn a_check_shows_every_key() {
    let settings = Settings::of(&Node::absent(Chain::Regtest));
    let folder = TempDir::new().expect("a folder");
    run(&folder, &settings, &[]);
    settings.write(folder.path());
    let (_, stdout, _) = run(&folder, &settings, &["-check"]);
    let mut count = 0;
    for entry in fs::read_dir(folder.path().join("config/examples")).expect("it was made") {
        let example = fs::read_to_string(entry.expect("an entry").path()).expect("it is text");
        let keys = example.lines().filter_map(|line| {
            let (key, _) = line.trim_start_matches("# ").split_once(" = ")?;
            key.bytes()
                .all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte))
                .then_some(key)
        });
        // Of an entry of `[[bits]]`, of which there may be any number.
        for key in keys.filter(|key| !matches!(*key, "bit" | "enabled")) {
            assert!(stdout.contains(&format!("  {key} = ")), "{key}: {stdout}");
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}

/// A cookie that was looked for and found is remembered, and nothing else of the file changes.
#[test]
fn a_cookie_that_was_found_is_remembered() {
    let node = Node::new(Chain::Regtest);
    let mut settings = Settings::of(&node);
    settings.forget_cookie();
    let folder = TempDir::new().expect("a folder");
    // Its home is its data folder here.
    let place = folder.path().join(".bitcoin/regtest");
    fs::create_dir_all(&place).expect("make it");
    std::os::unix::fs::symlink(node.cookie_path(), place.join(".cookie")).expect("link it");
    settings.write(folder.path());
    let config = folder.path().join("config/config.toml");
    let before = fs::read_to_string(&config).expect("it is there");
    let pool = pool::Pool::start_in(settings, folder);
    let after = fs::read_to_string(pool.folder().join("config/config.toml")).expect("it is there");
    let path = place.join(".cookie");
    let remembered = format!("rpc_cookie_path = \"{}\"", path.display());
    assert_eq!(after, before.replace("rpc_cookie_path = \"\"", &remembered));
    assert_ne!(after, before);
}
