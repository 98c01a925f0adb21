//! The hub's client against a hub-like server on loopback: what it asks for, to whom it shows its token, and what it does
//! with answers that break, lie or refuse.

mod hub_server;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hub_server::{Answer, Request, Server};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokometer_core::prepare::hub::{Error, Hub, Repo, Retry, Settings, Snapshot, Token, is_checkpoint_file};
use tokometer_core::progress::Silent;

const COMMIT: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";
const SECRET: &str = "hf_verysecret123";
const CONFIG: &[u8] = b"{\"a\": 1}\n";
/// What `git hash-object` says of `CONFIG`.
const CONFIG_GIT: &str = "cb5b2f69babc53f9145b45ad20b9a075d48717ef";

/// A folder of its own for each test, removed at its end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("tokometer-hub-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn repo(&self) -> PathBuf {
        self.0.join("models--org--tiny")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Weights large enough for several reads, the same each time.
fn weights() -> Vec<u8> {
    (0..700_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// The listing of a repository with a configuration in git, weights in large-file storage, and files nobody wants.
fn listing(weights: &[u8]) -> Answer {
    let oid = sha256(weights);
    let body = json!({
        "id": "org/tiny", "sha": COMMIT, "gated": false,
        "siblings": [
            {"rfilename": ".gitattributes", "size": 3, "blobId": "0".repeat(40)},
            {"rfilename": "config.json", "size": CONFIG.len(), "blobId": CONFIG_GIT},
            {"rfilename": "model.safetensors", "size": weights.len(), "blobId": "1".repeat(40),
             "lfs": {"sha256": oid, "size": weights.len(), "pointerSize": 134}},
            {"rfilename": "original/consolidated.00.pth", "size": 5, "blobId": "2".repeat(40)},
            {"rfilename": "pytorch_model.bin", "size": 5, "blobId": "3".repeat(40)},
        ],
    });
    Answer::new(200, body.to_string()).with("Content-Type", "application/json")
}

/// What an honest hub answers; everything from its own host.
fn honest(request: &Request) -> Answer {
    if request.path.starts_with("/api/models/org/tiny/revision/") {
        return listing(&weights());
    }
    let file = request.path.strip_prefix(&format!("/org/tiny/resolve/{COMMIT}/"));
    let (content, etag) = match file {
        Some("config.json") => (CONFIG.to_vec(), CONFIG_GIT.to_owned()),
        Some("model.safetensors") => (weights(), sha256(&weights())),
        _ => return Answer::new(404, "").with("X-Error-Code", "EntryNotFound"),
    };
    Answer::content(request, &content).with("ETag", format!("\"{etag}\"")).with("X-Repo-Commit", COMMIT)
}

fn is_weights(request: &Request) -> bool {
    request.path.ends_with("/model.safetensors")
}

fn settings(server: &Server, dir: &Dir) -> Settings {
    let mut settings = Settings::new(&dir.0);
    settings.endpoint = server.url();
    settings.token = Some(Token::new(SECRET, "HF_TOKEN").unwrap());
    settings.retry =
        Retry { attempts: 3, first_wait: Duration::from_millis(1), longest_wait: Duration::from_millis(5) };
    settings
}

fn fetch(settings: Settings) -> Result<Snapshot, Error> {
    Hub::new(settings)?.snapshot(&Repo::parse("org/tiny").unwrap(), &is_checkpoint_file, &Silent)
}

/// Fetches, and checks that the token shows in no word of the error.
fn refused(settings: Settings) -> (Error, String) {
    let error = fetch(settings).expect_err("this must not work");
    let text = error.to_string();
    assert!(!text.contains(SECRET) && !format!("{error:?}").contains(SECRET), "{text}");
    (error, text)
}

/// The two files are there, whole, in the layout of the cache, and nothing else is.
fn assert_complete(dir: &Dir, snapshot: &Snapshot) {
    let names: Vec<&str> = snapshot.files.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["config.json", "model.safetensors"]);
    assert_eq!(snapshot.revision, COMMIT);
    assert_eq!(snapshot.folder, dir.repo().join("snapshots").join(COMMIT));
    let oid = sha256(&weights());
    assert_eq!(snapshot.files[0].sha256.as_deref(), Some(sha256(CONFIG).as_str()));
    assert_eq!(snapshot.files[1].sha256.as_deref(), Some(oid.as_str()));
    assert_eq!(snapshot.files[1].bytes, weights().len() as u64);
    assert_eq!(fs::read(snapshot.folder.join("config.json")).unwrap(), CONFIG);
    assert!(fs::read(snapshot.folder.join("model.safetensors")).unwrap() == weights());
    let link = fs::read_link(snapshot.folder.join("model.safetensors")).unwrap();
    assert_eq!(link, Path::new("../../blobs").join(&oid));
    let mut blobs = names_in(&dir.repo().join("blobs"));
    blobs.sort();
    let mut expected = [CONFIG_GIT.to_owned(), oid];
    expected.sort();
    assert_eq!(blobs, expected);
    assert_eq!(names_in(&snapshot.folder).len(), 2);
    assert_eq!(fs::read_to_string(dir.repo().join("refs/main")).unwrap(), COMMIT);
}

fn names_in(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_snapshot_comes_over_a_second_host_that_never_sees_the_token() {
    let cdn = Server::start(|request, _| Answer::content(request, &weights()).with("ETag", "\"of-the-storage\""));
    let link = format!("{}/store/abc?Signature=key", cdn.url());
    let hub = Server::start(move |request, _| match request.path.as_str() {
        path if path.ends_with("/config.json") => {
            Answer::new(307, "moved").with("Location", "/api/resolve-cache/config").with("X-Repo-Commit", COMMIT)
        }
        "/api/resolve-cache/config" => Answer::content(request, CONFIG).with("ETag", format!("\"{CONFIG_GIT}\"")),
        path if path.ends_with("/model.safetensors") => Answer::new(302, "")
            .with("Location", link.clone())
            .with("X-Repo-Commit", COMMIT)
            .with("X-Linked-Etag", format!("\"{}\"", sha256(&weights())))
            .with("X-Linked-Size", weights().len().to_string()),
        _ => honest(request),
    });
    let dir = Dir::new();
    let snapshot = fetch(settings(&hub, &dir)).unwrap();
    assert_complete(&dir, &snapshot);

    assert_eq!(hub.requests().len(), 4, "list, two files, one relative redirect");
    for request in hub.requests() {
        assert_eq!(request.header("authorization"), Some("Bearer hf_verysecret123"), "{}", request.path);
    }
    assert_eq!(hub.requests()[0].path, "/api/models/org/tiny/revision/main?blobs=true");
    let seen = cdn.requests();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].path, "/store/abc?Signature=key");
    assert_eq!(seen[0].header("authorization"), None);
    assert!(!format!("{seen:?}").contains(SECRET));
}

#[test]
fn a_second_snapshot_sends_only_the_list() {
    let hub = Server::start(|request, _| honest(request));
    let dir = Dir::new();
    let first = fetch(settings(&hub, &dir)).unwrap();
    let before = hub.requests().len();
    let second = fetch(settings(&hub, &dir)).unwrap();
    assert_eq!(first, second);
    assert_complete(&dir, &second);
    assert_eq!(hub.requests().len(), before + 1);
}

#[test]
fn files_that_another_tool_left_in_the_cache_are_used() {
    let hub = Server::start(|request, _| honest(request));
    let dir = Dir::new();
    let blobs = dir.repo().join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(sha256(&weights())), weights()).unwrap();
    let snapshot = fetch(settings(&hub, &dir)).unwrap();
    assert_complete(&dir, &snapshot);
    assert!(hub.requests_for("model.safetensors").is_empty());
}

#[test]
fn a_dropped_connection_is_resumed_where_it_broke() {
    let hub = Server::start(|request, before| {
        let answer = honest(request);
        if is_weights(request) && before == 0 { answer.cut_after(300_000) } else { answer }
    });
    let dir = Dir::new();
    assert_complete(&dir, &fetch(settings(&hub, &dir)).unwrap());
    let asked = hub.requests_for("model.safetensors");
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].header("range"), None);
    let first = asked[1].first_byte().expect("the second request asks for a range");
    assert!((1..=300_000).contains(&first), "{first}");
}

#[test]
fn a_partial_file_of_an_earlier_run_is_gone_on_with() {
    let hub = Server::start(|request, _| honest(request));
    let dir = Dir::new();
    let blobs = dir.repo().join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    let partial = blobs.join(format!("{}.incomplete", sha256(&weights())));
    fs::write(&partial, &weights()[..123_456]).unwrap();
    assert_complete(&dir, &fetch(settings(&hub, &dir)).unwrap());
    assert_eq!(hub.requests_for("model.safetensors")[0].header("range"), Some("bytes=123456-"));
}

#[test]
fn a_damaged_partial_file_is_found_out_and_replaced() {
    let hub = Server::start(|request, _| honest(request));
    let dir = Dir::new();
    let blobs = dir.repo().join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(format!("{}.incomplete", sha256(&weights()))), vec![7; 1000]).unwrap();
    assert_complete(&dir, &fetch(settings(&hub, &dir)).unwrap());
    let ranges: Vec<_> = hub.requests_for("model.safetensors").iter().map(Request::first_byte).collect();
    assert_eq!(ranges, [Some(1000), None]);
}

#[test]
fn a_server_that_ignores_ranges_starts_the_file_anew() {
    let hub = Server::start(|request, before| {
        if !is_weights(request) {
            return honest(request);
        }
        let whole = Answer::new(200, weights());
        if before == 0 { whole.cut_after(300_000) } else { whole }
    });
    let dir = Dir::new();
    assert_complete(&dir, &fetch(settings(&hub, &dir)).unwrap());
    let asked = hub.requests_for("model.safetensors");
    assert!(asked[1].first_byte().is_some());
    assert_eq!(asked.len(), 2, "what the second answer sends from the start on is not put behind the rest");
}

#[test]
fn a_busy_hub_is_asked_again() {
    let hub = Server::start(|request, before| match before {
        0 => Answer::new(503, "busy"),
        1 => Answer::new(429, "slow down").with("Retry-After", "3600"),
        _ => honest(request),
    });
    let dir = Dir::new();
    assert_complete(&dir, &fetch(settings(&hub, &dir)).unwrap());
    assert_eq!(hub.requests().len(), 9, "three attempts each for the list and two files");
}

#[test]
fn a_hub_that_stays_busy_is_given_up_and_what_arrived_is_kept() {
    let hub = Server::start(|request, before| match (is_weights(request), before) {
        (true, 0) => honest(request).cut_after(400_000),
        (true, _) => Answer::new(500, "").with("X-Error-Message", format!("no {SECRET} today")),
        _ => honest(request),
    });
    let dir = Dir::new();
    let (error, text) = refused(settings(&hub, &dir));
    assert!(matches!(error, Error::GaveUp { .. }), "{text}");
    assert!(
        text.contains("model.safetensors") && text.contains("HTTP 500") && text.contains("no (hidden) today"),
        "{text}"
    );
    let partial = dir.repo().join("blobs").join(format!("{}.incomplete", sha256(&weights())));
    assert!(fs::metadata(partial).unwrap().len() > 0);
    assert!(!dir.repo().join("refs/main").exists(), "an unfinished snapshot must not look finished");
}

#[test]
fn a_wrong_hash_is_tried_once_more_and_then_named() {
    let hub = Server::start(|request, _| {
        if !is_weights(request) {
            return honest(request);
        }
        let mut content = weights();
        content[5] ^= 1;
        Answer::content(request, &content)
    });
    let dir = Dir::new();
    let (error, text) = refused(settings(&hub, &dir));
    assert!(matches!(error, Error::WrongHash { .. }), "{text}");
    let mut damaged = weights();
    damaged[5] ^= 1;
    for part in ["model.safetensors", "org/tiny", sha256(&weights()).as_str(), sha256(&damaged).as_str()] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert_eq!(hub.requests_for("model.safetensors").len(), 2);
    assert_eq!(names_in(&dir.repo().join("blobs")), [CONFIG_GIT], "the damaged file is gone");
}

#[test]
fn a_wrong_git_hash_of_a_small_file_is_found_too() {
    let hub = Server::start(|request, _| match request.path.ends_with("/config.json") {
        true => Answer::new(200, CONFIG.to_ascii_uppercase()),
        false => honest(request),
    });
    let dir = Dir::new();
    let (error, text) = refused(settings(&hub, &dir));
    assert!(matches!(error, Error::WrongHash { .. }) && text.contains(CONFIG_GIT), "{text}");
}

#[test]
fn a_login_page_instead_of_a_file_is_named() {
    let hub = Server::start(|request, _| match is_weights(request) {
        true => Answer::new(200, "<html>please log in</html>").with("Content-Type", "text/html"),
        false => honest(request),
    });
    let (error, text) = refused(settings(&hub, &Dir::new()));
    assert!(matches!(error, Error::WrongSize { .. }) && text.contains("text/html"), "{text}");
}

#[test]
fn a_gated_repository_tells_the_way_in() {
    let gate = |status: u16, code: &'static str| {
        move |_: &Request, _| {
            Answer::new(status, "no")
                .with("X-Error-Code", code)
                .with("X-Error-Message", format!("You sent {SECRET}, but access is restricted."))
        }
    };
    let dir = Dir::new();

    let hub = Server::start(gate(401, "GatedRepo"));
    let mut anonymous = settings(&hub, &dir);
    anonymous.token = None;
    let error = fetch(anonymous).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::NoToken { .. }), "{text}");
    for part in [
        "gated or private",
        &format!("accept the licence at {}/org/tiny", hub.url()),
        "create a token",
        "set HF_TOKEN",
        "no token was sent",
    ] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert_eq!(hub.requests()[0].header("authorization"), None);

    let hub = Server::start(gate(401, ""));
    let (error, text) = refused(settings(&hub, &dir));
    assert!(matches!(error, Error::BadToken { .. }), "{text}");
    assert!(text.contains("did not accept the token from HF_TOKEN") && text.contains("You sent (hidden)"), "{text}");
    assert_eq!(hub.requests().len(), 1, "a refusal is not tried again");

    let hub = Server::start(gate(403, "GatedRepo"));
    let (error, text) = refused(settings(&hub, &dir));
    assert!(matches!(error, Error::NotGranted { .. }), "{text}");
    assert!(text.contains("accept the licence at") && text.contains("fine-grained"), "{text}");
}

#[test]
fn what_does_not_exist_is_named() {
    let dir = Dir::new();
    for (code, expected) in [
        ("RepoNotFound", "repository org/tiny"),
        ("RevisionNotFound", "revision main of org/tiny"),
        ("", "repository org/tiny with"),
    ] {
        let hub = Server::start(move |_, _| Answer::new(404, "").with("X-Error-Code", code));
        let (error, text) = refused(settings(&hub, &dir));
        assert!(matches!(error, Error::NotFound { .. }) && text.contains(expected), "{text}");
    }
    let hub = Server::start(|request, _| match is_weights(request) {
        true => Answer::new(404, "").with("X-Error-Code", "EntryNotFound"),
        false => honest(request),
    });
    let (_, text) = refused(settings(&hub, &dir));
    assert!(text.contains("file model.safetensors in org/tiny@main"), "{text}");
}

#[test]
fn offline_the_cache_stands_alone() {
    let dir = Dir::new();
    let hub = Server::start(|request, _| honest(request));
    let offline = || Settings { offline: true, ..settings(&hub, &dir) };

    let (error, text) = refused(offline());
    assert!(matches!(error, Error::NotCached { .. }), "{text}");
    assert!(text.contains("refs/main is missing") && text.contains("HF_HUB_OFFLINE"), "{text}");

    let online = fetch(settings(&hub, &dir)).unwrap();
    let before = hub.requests().len();
    assert_eq!(fetch(offline()).unwrap(), online);
    assert_eq!(hub.requests().len(), before);

    fs::remove_file(dir.repo().join("blobs").join(sha256(&weights()))).unwrap();
    let (_, text) = refused(offline());
    assert!(text.contains("model.safetensors (its link leads nowhere) is missing"), "{text}");
    fs::remove_file(online.folder.join("model.safetensors")).unwrap();
    let (_, text) = refused(offline());
    assert!(text.contains("model.safetensors") && text.contains("is missing"), "{text}");

    let index =
        json!({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}});
    fs::write(online.folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
    fs::write(online.folder.join("model-00001-of-00002.safetensors"), "x").unwrap();
    let (_, text) = refused(offline());
    assert!(text.contains("model-00002-of-00002.safetensors is missing"), "{text}");
}

#[test]
fn a_hub_out_of_reach_is_replaced_by_a_complete_cache() {
    let dir = Dir::new();
    let hub = Server::start(|request, _| honest(request));
    let gone = settings(&hub, &dir);
    let empty = Dir::new();
    let gone_and_empty = settings(&hub, &empty);
    let online = fetch(gone.clone()).unwrap();
    drop(hub);

    assert_eq!(fetch(gone.clone()).unwrap(), online);
    let (error, text) = refused(gone_and_empty);
    assert!(matches!(error, Error::Unreachable { .. }), "{text}");
    for part in [gone.endpoint.as_str(), "HF_HUB_OFFLINE=1", "HF_ENDPOINT", "refs/main is missing"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

#[test]
fn hostile_names_stop_everything_before_it_begins() {
    for name in [
        "../../../../evil.json",
        "/etc/evil.json",
        "a\\..\\evil.json",
        "C:\\evil.json",
        "a//evil.json",
        "evil\u{0}.json",
    ] {
        let hub = Server::start(move |_, _| {
            let siblings = json!([{"rfilename": "config.json", "size": 9, "blobId": CONFIG_GIT}, {"rfilename": name, "size": 9, "blobId": CONFIG_GIT}]);
            Answer::new(200, json!({"sha": COMMIT, "siblings": siblings}).to_string())
        });
        let dir = Dir::new();
        let (error, text) = refused(settings(&hub, &dir));
        assert!(matches!(&error, Error::FileName { name: named, .. } if named == name), "{text}");
        assert_eq!(hub.requests().len(), 1);
        assert!(names_in(&dir.0).is_empty(), "nothing is written");
    }
}

#[test]
fn hostile_commits_and_etags_do_not_become_paths() {
    let hub = Server::start(|_, _| Answer::new(200, json!({"sha": "../../../x", "siblings": []}).to_string()));
    let (error, text) = refused(settings(&hub, &Dir::new()));
    assert!(matches!(error, Error::Listing { .. }), "{text}");

    let hub = Server::start(|request, _| match request.path.contains("/api/") {
        true => Answer::new(200, json!({"sha": COMMIT, "siblings": [{"rfilename": "config.json"}]}).to_string()),
        false => Answer::content(request, CONFIG).with("ETag", "\"../../evil\""),
    });
    let dir = Dir::new();
    let (error, text) = refused(settings(&hub, &dir));
    assert!(matches!(error, Error::Listing { .. }) && text.contains("etag of config.json"), "{text}");
    assert!(names_in(&dir.0).is_empty());
}

#[test]
fn pickles_are_not_taken_even_if_asked_for() {
    let hub = Server::start(|request, _| honest(request));
    let dir = Dir::new();
    let everything = Hub::new(settings(&hub, &dir))
        .unwrap()
        .snapshot(&Repo::parse("org/tiny").unwrap(), &|_| true, &Silent)
        .unwrap();
    assert_complete(&dir, &everything);

    let pickles = Hub::new(settings(&hub, &dir)).unwrap().snapshot(
        &Repo::parse("org/tiny").unwrap(),
        &|n| n.ends_with(".bin"),
        &Silent,
    );
    assert!(matches!(pickles, Err(Error::NothingWanted { files: 5, .. })), "{pickles:?}");
}

#[test]
fn a_truncated_listing_and_a_web_page_are_told_apart() {
    let cut = Server::start(|request, _| {
        if !request.path.contains("/api/") {
            return honest(request);
        }
        Answer::new(200, format!("{{\"sha\":\"{COMMIT}\",\"siblings\":[{{\"rfilename\":\"conf"))
    });
    let dir = Dir::new();
    let (error, text) = refused(settings(&cut, &dir));
    assert!(matches!(error, Error::Listing { .. }) && text.contains("the answer is cut"), "{text}");

    let dropped = Server::start(|_, _| listing(&weights()).cut_after(50));
    let (error, text) = refused(settings(&dropped, &dir));
    assert!(
        matches!(error, Error::GaveUp { attempts: 3, .. }) && text.contains("the list of files of org/tiny@main"),
        "{text}"
    );
    assert_eq!(dropped.requests().len(), 3);

    let portal =
        Server::start(|_, _| Answer::new(200, "<!DOCTYPE html><title>Hotel</title>").with("Content-Type", "text/html"));
    let (_, text) = refused(settings(&portal, &dir));
    assert!(text.contains("a web page came instead of JSON"), "{text}");
}

#[test]
fn a_mirror_without_hashes_in_its_list_is_asked_for_each_file() {
    let hub = Server::start(|request, _| match request.path.contains("/api/") {
        true => Answer::new(
            200,
            json!({"sha": COMMIT, "siblings": [{"rfilename": "config.json"}, {"rfilename": "model.safetensors"}]})
                .to_string(),
        ),
        false => honest(request),
    });
    let dir = Dir::new();
    assert_complete(&dir, &fetch(settings(&hub, &dir)).unwrap());
    let heads = hub.requests().iter().filter(|r| r.method == "HEAD").count();
    assert_eq!(heads, 2);
}

#[test]
fn endless_redirects_end() {
    let hub = Server::start(|request, _| match request.path.contains("/api/") {
        true => honest(request),
        false => Answer::new(302, "").with("Location", "again"),
    });
    let (error, text) = refused(settings(&hub, &Dir::new()));
    assert!(matches!(error, Error::Redirect { .. }) && text.contains("more than ten"), "{text}");
    assert_eq!(hub.requests_for("/resolve/").len(), 11);
}

#[test]
fn a_file_larger_than_the_disk_is_refused_before_it_begins() {
    let hub = Server::start(|_, _| {
        let size = u64::MAX / 2;
        let lfs = json!({"sha256": "ab".repeat(32), "size": size});
        Answer::new(
            200,
            json!({"sha": COMMIT, "siblings": [{"rfilename": "model.safetensors", "size": size, "lfs": lfs}]})
                .to_string(),
        )
    });
    let (error, text) = refused(settings(&hub, &Dir::new()));
    assert!(matches!(error, Error::Disk(_)) && text.contains("needed"), "{text}");
    assert_eq!(hub.requests().len(), 1);
}

#[test]
fn two_at_once_download_each_file_once() {
    let hub = Server::start(|request, _| honest(request));
    let dir = Dir::new();
    std::thread::scope(|scope| {
        let both: Vec<_> = (0..2).map(|_| scope.spawn(|| fetch(settings(&hub, &dir)).unwrap())).collect();
        let both: Vec<_> = both.into_iter().map(|one| one.join().unwrap()).collect();
        both.iter().for_each(|one| assert_complete(&dir, one));
    });
    assert_eq!(hub.requests_for("model.safetensors").len(), 1);
}
