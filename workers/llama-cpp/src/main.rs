//! Tokometer's llama.cpp worker: the llama.cpp library, driven over stdin and stdout.
//!
//! `main` keeps the process's stdout for the protocol and points file descriptor 1 at stderr, so that nothing the
//! library prints can reach the protocol. `calls` reads calls, `serve` answers them, `about` tells what is there and what was loaded, `measure` holds the timed loop,
//! `complete` continues a user's prompt, `together` several at once, `llama` is the thin layer over the C API. Scheduling, statistics and files are the harness's.

mod about;
mod bare;
mod calls;
mod complete;
mod llama;
mod measure;
mod score;
mod serve;
mod together;

use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::FromRawFd;

/// Gives the protocol a private copy of stdout and sends whatever else is written there to stderr.
fn take_stdout() -> io::Result<File> {
    // SAFETY: plain descriptor calls; the copy is owned by the returned File alone.
    unsafe {
        let copy = libc::dup(1);
        if copy < 0 || libc::dup2(2, 1) < 0 {
            return Err(io::Error::last_os_error());
        }
        libc::fcntl(copy, libc::F_SETFD, libc::FD_CLOEXEC);
        Ok(File::from_raw_fd(copy))
    }
}

fn main() -> std::process::ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!("tokometer-worker-llamacpp {}", env!("CARGO_PKG_VERSION"));
        return 0.into();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--bare") {
        return match bare::run(&arguments[1..]) {
            Ok(line) => {
                println!("{line}");
                0.into()
            }
            Err(failure) => {
                eprintln!("tokometer-worker-llamacpp: {}", failure.message);
                1.into()
            }
        };
    }
    let result = take_stdout().and_then(|out| serve::serve(calls::Calls::follow(BufReader::new(io::stdin())), out));
    match result {
        Ok(()) => 0.into(),
        // The harness closed its end: nobody is left to tell.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0.into(),
        Err(error) => {
            eprintln!("tokometer-worker-llamacpp: {error}");
            1.into()
        }
    }
}
