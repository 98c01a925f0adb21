use super::*;
use crate::progress::Silent;
use crate::record::testing::{Dir, LLAMA_BENCH, TINYGRAD, events, header, name, samples, write_own_log};
use crate::record::{LogWriter, Status};
use std::time::{Duration, SystemTime};

fn run(dir: &Dir) -> Outcome {
    collate(dir.path(), &Options::default(), &Silent).unwrap()
}

/// Every CSV file by name.
fn tables(dir: &Dir) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        if name.ends_with(".csv") {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    found
}

/// A folder with all samples.
fn filled() -> Dir {
    let dir = Dir::new();
    for sample in samples() {
        fs::write(dir.path().join(sample.name), &sample.bytes).unwrap();
    }
    dir
}

fn overwrite(dir: &Dir, name: &str, change: impl FnOnce(String) -> String) {
    let path = dir.path().join(name);
    let text = change(fs::read_to_string(&path).unwrap());
    fs::write(path, text).unwrap();
}

#[test]
fn logs_of_every_format_become_one_table_for_each_engine_and_one_for_all() {
    let dir = filled();
    let outcome = run(&dir);
    let counts: Vec<_> = outcome.engines.iter().map(|(name, count)| (name.as_str(), count.logs, count.rows)).collect();
    // Own log: two repetitions of three steps, and the launch that failed.
    assert_eq!(counts, [("llamacpp", 2, 12), ("mlc_llm", 1, 2), ("mock", 1, 7), ("tinygrad", 2, 60)]);
    assert_eq!((outcome.logs, outcome.parsed, outcome.rows, outcome.damaged.len()), (7, 7, 81, 0));
    let tables = tables(&dir);
    assert_eq!(
        tables.keys().collect::<Vec<_>>(),
        ["all.csv", "llamacpp.csv", "mlc_llm.csv", "mock.csv", "tinygrad.csv"]
    );
    let head = rows::header();
    let mut all = head.clone().into_bytes();
    for name in ["llamacpp.csv", "mlc_llm.csv", "mock.csv", "tinygrad.csv"] {
        all.extend_from_slice(tables[name].strip_prefix(head.as_bytes()).unwrap());
    }
    assert!(tables["all.csv"] == all);
    assert_eq!(outcome.files.len(), 5);
    assert!(outcome.files.iter().all(|path| path.is_file()));
    let back = read::read(&dir.path().join("all.csv")).unwrap();
    assert_eq!(back.iter().map(|series| series.steps.len()).sum::<usize>(), 80);
}

#[test]
fn collating_again_changes_nothing_and_reads_nothing() {
    let dir = filled();
    run(&dir);
    let first = tables(&dir);
    let again = run(&dir);
    assert_eq!((again.parsed, again.reused, again.written, again.rows), (0, 7, false, 81));
    assert!(tables(&dir) == first);
    let options = Options { rebuild: true, threads: Some(3) };
    let rebuilt = collate(dir.path(), &options, &Silent).unwrap();
    assert_eq!((rebuilt.parsed, rebuilt.written), (7, true));
    assert!(tables(&dir) == first);
}

#[test]
fn the_order_in_which_logs_arrive_does_not_matter() {
    let at_once = filled();
    run(&at_once);
    let one_by_one = Dir::new();
    for (i, sample) in samples().iter().rev().enumerate() {
        fs::write(one_by_one.path().join(sample.name), &sample.bytes).unwrap();
        let outcome = run(&one_by_one);
        assert_eq!((outcome.parsed, outcome.reused), (1, i));
    }
    assert!(tables(&at_once) == tables(&one_by_one));
}

#[test]
fn a_changed_log_is_read_again_even_if_size_and_date_are_the_same() {
    let dir = filled();
    // A date that is not clearly before the collation proves nothing.
    let date = SystemTime::now() + Duration::from_secs(3600);
    let set_date = || {
        let file = File::options().write(true).open(dir.path().join("bench.jsonl")).unwrap();
        file.set_modified(date).unwrap();
    };
    set_date();
    run(&dir);
    overwrite(&dir, "bench.jsonl", |text| text.replace("8000000000,", "7000000000,"));
    set_date();
    let outcome = run(&dir);
    assert_eq!((outcome.parsed, outcome.reused), (1, 6));
    let incremental = tables(&dir);
    assert!(String::from_utf8_lossy(&incremental["llamacpp.csv"]).contains(",7000,"));
    collate(dir.path(), &Options { rebuild: true, ..Options::default() }, &Silent).unwrap();
    assert!(tables(&dir) == incremental);
}

#[test]
fn rows_go_with_their_log_and_the_table_with_its_last_log() {
    let dir = filled();
    run(&dir);
    fs::remove_file(dir.path().join("tiny.txt")).unwrap();
    fs::remove_file(dir.path().join("box_1B_q4f16_1_seed42_uuid00000002.txt")).unwrap();
    let outcome = run(&dir);
    assert_eq!((outcome.logs, outcome.parsed, outcome.engines["tinygrad"].rows), (5, 0, 20));
    assert!(!tables(&dir).contains_key("mlc_llm.csv"));
}

#[test]
fn a_table_or_index_that_somebody_changed_is_made_anew() {
    let dir = filled();
    run(&dir);
    let good = tables(&dir);
    overwrite(&dir, "tinygrad.csv", |text| text.replacen("Hello", "HELLO", 1) + "more\n");
    let outcome = run(&dir);
    assert_eq!((outcome.parsed, outcome.reused), (2, 5));
    assert!(tables(&dir) == good);
    for (name, content) in
        [("all.csv", "x"), (index::FILE, "{\"made_by\": 1"), (index::FILE, "{}"), (index::FILE, ""), ("mock.csv", "")]
    {
        fs::write(dir.path().join(name), content).unwrap();
        run(&dir);
        assert!(tables(&dir) == good, "{name}");
    }
    fs::remove_file(dir.path().join("all.csv")).unwrap();
    assert_eq!(run(&dir).parsed, 0);
    assert!(tables(&dir) == good);
    overwrite(&dir, index::FILE, |text| text.replacen("\"start\":", "\"start\":1", 1));
    run(&dir);
    assert!(tables(&dir) == good);
}

#[test]
fn a_damaged_log_is_named_with_its_line_and_the_rest_is_collated() {
    let dir = filled();
    overwrite(&dir, "bench.jsonl", |text| text + "{\"n_prompt\": ");
    fs::write(dir.path().join("notes.txt"), "remember the milk\n").unwrap();
    fs::write(dir.path().join("empty.txt"), "").unwrap();
    fs::write(dir.path().join("evil.txt"), format!("framework: ../x\n\n{LLAMA_BENCH}")).unwrap();
    fs::write(dir.path().join("greedy.txt"), format!("framework: all\n\n{LLAMA_BENCH}")).unwrap();
    for _ in 0..2 {
        let outcome = run(&dir);
        let seen: Vec<_> = outcome
            .damaged
            .iter()
            .map(|log| (log.path.file_name().unwrap().to_str().unwrap(), log.line, log.reason.as_str()))
            .collect();
        let [bench, empty, evil, greedy, notes] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!((bench.0, bench.1), ("bench.jsonl", Some(4)));
        assert_eq!((empty.0, empty.1), ("empty.txt", None));
        assert!(empty.2.contains("it is empty"), "{empty:?}");
        assert!(evil.2.contains("cannot name a CSV file") && greedy.2.contains("`all`"), "{evil:?} {greedy:?}");
        assert!(notes.0 == "notes.txt" && notes.2.contains("not a raw log of any known format"), "{notes:?}");
        assert_eq!((outcome.logs, outcome.engines["llamacpp"].logs, outcome.engines["tinygrad"].rows), (11, 1, 60));
    }
}

#[test]
fn logs_that_hold_nothing_are_no_error() {
    let dir = Dir::new();
    fs::write(dir.path().join("box_1B_int8_seed42_uuid8df98122.txt"), "seed = 42\n").unwrap();
    fs::write(dir.path().join("b.txt"), "framework: llama.cpp\nhostname: box\n").unwrap();
    let outcome = run(&dir);
    assert_eq!((outcome.logs, outcome.rows, outcome.damaged.len()), (2, 0, 0));
    let tables = tables(&dir);
    assert_eq!((tables.len(), tables["all.csv"].as_slice()), (1, rows::header().as_bytes()));
    assert_eq!(read::read(&dir.path().join("all.csv")).unwrap().len(), 0);
}

#[test]
fn a_dead_run_is_read_as_interrupted_and_a_living_one_is_left_alone() {
    let dir = Dir::new();
    write_own_log(dir.path(), "done");
    let mut dead = LogWriter::create(dir.path(), &name("dead"), &header()).unwrap();
    let mut living = LogWriter::create(dir.path(), &name("living"), &header()).unwrap();
    for event in events() {
        dead.append(&event).unwrap();
        living.append(&event).unwrap();
    }
    drop(dead);
    assert_eq!((run(&dir).logs, run(&dir).rows), (2, 14));
    let back = read::read(&dir.path().join("mock.csv")).unwrap();
    let interrupted = back.iter().filter(|series| series.context.status == Status::Interrupted).count();
    assert_eq!((back.len(), interrupted), (6, 2));
    living.finish("ok").unwrap();
    assert_eq!((run(&dir).logs, run(&dir).rows), (3, 21));
}

#[test]
fn a_log_that_is_renamed_before_it_is_read_is_no_damage() {
    let dir = Dir::new();
    let whole = write_own_log(dir.path(), "whole");
    let partial = dir.path().join("a.txt.partial");
    fs::copy(&whole, &partial).unwrap();
    let listed = sources::list(dir.path()).unwrap();
    assert_eq!(listed.len(), 2);
    fs::rename(&partial, dir.path().join("a.txt")).unwrap();
    let plan = vec![None; 2];
    let mut output = Output::create(dir.path()).unwrap();
    let entries =
        build(&listed, &plan, None, &super::hosts::Hosts::default(), &mut output, &Options::default(), &Silent)
            .unwrap();
    output.finish().unwrap();
    assert_eq!((entries.len(), outcome(dir.path(), &entries).damaged.len()), (1, 0));
    let next = run(&dir);
    assert_eq!((next.logs, next.damaged.len()), (2, 0));
}

#[test]
fn an_empty_folder_says_what_to_do_first() {
    let dir = Dir::new();
    for path in [dir.path().to_path_buf(), dir.path().join("absent")] {
        let error = collate(&path, &Options::default(), &Silent).unwrap_err();
        assert!(matches!(error, Error::NoLogs { .. }) && error.to_string().contains("tokometer run"), "{error}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_collation_that_fails_leaves_the_old_tables() {
    let dir = filled();
    run(&dir);
    let good = tables(&dir);
    fs::write(dir.path().join("another_1B_int8_seed1_uuid00000003.txt"), TINYGRAD).unwrap();
    // A folder in the place of a file that must be written.
    let blocked = dir.path().join(".tinygrad.csv.tmp");
    fs::create_dir(&blocked).unwrap();
    let error = collate(dir.path(), &Options::default(), &Silent).unwrap_err();
    assert!(error.to_string().contains("tinygrad.csv"), "{error}");
    assert!(tables(&dir) == good);
    fs::remove_dir(blocked).unwrap();
    assert_eq!(run(&dir).engines["tinygrad"].rows, 80);
}

#[test]
fn machines_have_the_names_that_the_folder_gives_them() {
    let dir = filled();
    run(&dir);
    let hosts_in = |dir: &Dir| -> Vec<Option<String>> {
        let mut all: Vec<_> = read::read(&dir.path().join("mock.csv"))
            .unwrap()
            .into_iter()
            .map(|series| series.context.hostname)
            .collect();
        all.dedup();
        all
    };
    assert_eq!(hosts_in(&dir), [Some("host".to_owned())]);
    let mut names = hosts::Hosts::default();
    names.set("0123abcd", "phone");
    names.write(dir.path()).unwrap();
    let renamed = run(&dir);
    assert_eq!((renamed.parsed, renamed.logs), (7, 7));
    assert_eq!(hosts_in(&dir), [Some("phone".to_owned())]);
    assert_eq!(run(&dir).parsed, 0);
    fs::remove_file(dir.path().join(hosts::FILE)).unwrap();
    run(&dir);
    assert_eq!(hosts_in(&dir), [Some("host".to_owned())]);
}
