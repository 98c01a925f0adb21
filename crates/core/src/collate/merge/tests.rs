use super::*;
use crate::progress::Silent;
use crate::record::testing::{Dir, header, name};
use crate::record::{Event, LogWriter};
use serde_json::json;

/// Writes a log into `benchmark_output` of a folder, as measured on a machine with that processor.
fn measure(dir: &Dir, hostname: &str, cpu: &str, uuid: &str) -> PathBuf {
    begin(dir, hostname, cpu, uuid).finish("ok").unwrap()
}

fn begin(dir: &Dir, hostname: &str, cpu: &str, uuid: &str) -> LogWriter {
    let mut file = name(hostname);
    file.uuid = uuid.to_owned();
    let mut lines = header();
    lines.retain(|(key, _)| key != "hostname");
    lines.extend([("hostname".to_owned(), hostname.to_owned()), ("uuid".to_owned(), uuid.to_owned())]);
    let mut log = LogWriter::create(&dir.path().join("benchmark_output"), &file, &lines).unwrap();
    let machine = json!({"hostname": hostname, "cpu": cpu, "arch": "x86_64", "memory_bytes": 8_000_000_000u64});
    log.append(&Event::Plan {
        case: json!({}),
        manifest: None,
        machine,
        command: Vec::new(),
        schedule: None,
        prompt: vec![1, 2],
        context: Vec::new(),
    })
    .unwrap();
    log
}

fn dirs(all: &[&Dir]) -> Vec<PathBuf> {
    all.iter().map(|dir| dir.path().to_path_buf()).collect()
}

fn run(here: &Dir, from: &[&Dir], options: &Options) -> Vec<Merged> {
    merge(here.path(), &dirs(from), options, &Silent).unwrap()
}

fn error(here: &Dir, from: &[PathBuf], options: &Options) -> String {
    merge(here.path(), from, options, &Silent).unwrap_err().to_string()
}

fn logs(dir: &Dir) -> Vec<String> {
    let names = files(&dir.path().join("benchmark_output"), "");
    names.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn logs_of_several_machines_come_together_once() {
    let (here, a, b) = (Dir::new(), Dir::new(), Dir::new());
    measure(&here, "desk", "A", "00000001");
    measure(&a, "lap", "B", "00000002");
    // Cut off, and one that is being written.
    drop(begin(&a, "lap", "B", "00000003"));
    let writing = begin(&a, "lap", "B", "00000004");
    measure(&b, "tab", "C", "00000005");
    let dry = run(&here, &[&a, &b], &Options { dry_run: true, ..Options::default() });
    assert_eq!((dry[0].copied.len(), logs(&here).len()), (2, 1));
    let merged = run(&here, &[&a, &b], &Options::default());
    assert_eq!(merged, dry);
    assert_eq!(
        merged[0].copied,
        ["mock_lap_tiny_nf4_seed42_uuid00000002.txt", "mock_lap_tiny_nf4_seed42_uuid00000003.txt.partial"]
    );
    assert_eq!(merged[1].hosts, BTreeSet::from(["tab".to_owned()]));
    assert_eq!(logs(&here).len(), 4);
    let again = run(&here, &[&a, &b], &Options::default());
    assert!(again.iter().all(|one| one.copied.is_empty() && one.refused.is_empty()));
    assert_eq!((again[0].same, again[1].same, logs(&here).len()), (2, 1, 4));
    // A log that has since been finished there is finished here.
    let path = writing.finish("ok").unwrap();
    assert_eq!(run(&here, &[&a], &Options::default())[0].copied.len(), 1);
    let copy = here.path().join("benchmark_output").join(path.file_name().unwrap());
    assert!(copy::same(&path, &copy).unwrap());
}

#[test]
fn the_same_log_under_another_name_is_not_doubled_and_another_of_one_name_is_refused() {
    let (here, a) = (Dir::new(), Dir::new());
    let own = measure(&here, "desk", "A", "00000001");
    fs::create_dir_all(a.path().join("benchmark_output")).unwrap();
    fs::copy(&own, a.path().join("benchmark_output/renamed.txt")).unwrap();
    assert_eq!(run(&here, &[&a], &Options::default())[0].same, 1);
    measure(&a, "desk", "A2", "00000001");
    let merged = run(&here, &[&a], &Options::default()).remove(0);
    assert_eq!((merged.copied.len(), merged.refused.len()), (0, 1));
    assert!(merged.refused[0].reason.contains("another log of the same name"), "{merged:?}");
}

#[test]
fn an_edited_log_is_left_out_unless_told_otherwise() {
    let (here, a) = (Dir::new(), Dir::new());
    let path = measure(&a, "lap", "B", "00000002");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("4.5", "4.4")).unwrap();
    let merged = run(&here, &[&a], &Options::default()).remove(0);
    assert!(merged.copied.is_empty() && merged.refused[0].reason.contains("not as it was written"), "{merged:?}");
    let anyway = Options { anyway: true, ..Options::default() };
    assert_eq!(run(&here, &[&a], &anyway)[0].copied.len(), 1);
}

#[test]
fn two_machines_under_one_name_are_told_apart_by_another_name() {
    let (here, a, b) = (Dir::new(), Dir::new(), Dir::new());
    measure(&a, "localhost", "Phone A", "00000001");
    measure(&b, "localhost", "Phone B", "00000002");
    let merged = run(&here, &[&a, &b], &Options::default());
    assert_eq!(merged[0].copied.len(), 1);
    let reason = &merged[1].refused[0].reason;
    assert!(
        reason.contains("called localhost too (Phone B and Phone A;") || reason.contains("(Phone A and Phone B;"),
        "{reason}"
    );
    assert!(reason.contains("--host DIR=NAME") && merged[1].copied.is_empty());
    let names = BTreeMap::from([(b.path().to_path_buf(), "phone-b".to_owned())]);
    let merged = run(&here, &[&a, &b], &Options { names, ..Options::default() });
    assert_eq!((merged[0].same, merged[1].copied.len(), merged[1].refused.len()), (1, 1, 0));
    assert_eq!(merged[1].hosts, BTreeSet::from(["phone-b".to_owned()]));
    let hosts = Hosts::read(&here.path().join("benchmark_output")).unwrap();
    assert_eq!((hosts.name("00000001"), hosts.name("00000002")), (None, Some("phone-b")));
    // The name goes along when this folder is merged into another, where it is kept.
    let there = Dir::new();
    run(&there, &[&here], &Options::default());
    assert_eq!(Hosts::read(&there.path().join("benchmark_output")).unwrap().name("00000002"), Some("phone-b"));
    // The one that is called so now is still another machine.
    let c = Dir::new();
    measure(&c, "phone-b", "Phone C", "00000003");
    assert_eq!(run(&here, &[&c], &Options::default())[0].refused.len(), 1);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_touched() {
    let (here, a, empty) = (Dir::new(), Dir::new(), Dir::new());
    measure(&here, "desk", "A", "00000001");
    measure(&a, "lap", "B", "00000002");
    measure(&a, "lap2", "B", "00000003");
    let none = Options::default();
    assert!(error(&here, &dirs(&[&a, &empty]), &none).contains("holds no raw logs"));
    assert!(error(&here, &dirs(&[&a, &a]), &none).contains("named twice"));
    assert!(error(&here, &dirs(&[&here]), &none).contains("the working folder itself"));
    assert!(error(&here, &[here.path().join("nowhere")], &none).contains("not a folder"));
    let named = |dir: &Dir, name: &str| Options {
        names: BTreeMap::from([(dir.path().to_path_buf(), name.to_owned())]),
        ..Options::default()
    };
    assert!(error(&here, &dirs(&[&a]), &named(&a, "x")).contains("several: lap, lap2"));
    assert!(error(&here, &dirs(&[&a]), &named(&empty, "x")).contains("not among the folders"));
    assert!(error(&here, &dirs(&[&a]), &named(&a, " ")).contains("is empty"));
    assert_eq!(logs(&here).len(), 1);
}

#[test]
fn other_results_come_along_and_none_is_replaced() {
    let (here, a) = (Dir::new(), Dir::new());
    let write = |dir: &Dir, inner: &str, text: &str| {
        let path = dir.path().join(inner);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(&here, "verifiers_results/one.json", "{}");
    write(&a, "verifiers_results/one.json", "{\"other\": 1}");
    write(&a, "verifiers_results/two.json", "{}");
    write(&a, "sweep/journal/x.jsonl", "{}\n");
    let merged = run(&here, &[&a], &Options::default()).remove(0);
    let others: Vec<_> = merged.others.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    assert_eq!(others.len(), 3, "{others:?}");
    assert!(others[0].starts_with("verifiers_results/one-") && others[0].ends_with(".json"), "{others:?}");
    assert_eq!(others[1..], ["verifiers_results/two.json", "sweep/journal/x.jsonl"]);
    assert_eq!(fs::read_to_string(here.path().join("verifiers_results/one.json")).unwrap(), "{}");
    assert!(run(&here, &[&a], &Options::default())[0].others.is_empty());
}
