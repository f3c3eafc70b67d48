//! A function's process must not outlive the host, even when the host is killed outright.
//! The host holds the process's standard input as a pipe, and the kernel closes that pipe with
//! the host: end of file means that the host is gone, or that it asks the process to end.

use std::io::{ErrorKind, Read};

/// Starts the thread that ends this process when its standard input ends.
///
/// # Errors
/// When the thread cannot be started.
pub fn exit_with_parent() -> std::io::Result<()> {
    std::thread::Builder::new().name("parent".to_owned()).spawn(|| {
        let mut input = std::io::stdin().lock();
        let mut ignored = [0; 64];
        loop {
            match input.read(&mut ignored) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        std::process::exit(0);
    })?;
    Ok(())
}
