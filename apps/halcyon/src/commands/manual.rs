//! `completions` and `man`: from the same definition as `--help`.

use std::fs;
use std::io;
use std::path::Path;

use crate::args::{Completions, Man, definition};
use crate::failure::Failure;

pub(super) fn completions(options: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut definition(), "halcyon", &mut script);
    write(&script)
}

pub(super) fn pages(options: &Man) -> Result<(), Failure> {
    match &options.folder {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(definition())
                .render(&mut page)
                .map_err(|error| Failure::unexpected(format!("the manual cannot be made: {error}")))?;
            write(&page)
        }
        Some(folder) => pages_into(folder).map_err(|error| {
            Failure::network(format!("the manual cannot be written to {}: {error}", folder.display()))
                .next("choose a folder that can be written")
        }),
    }
}

fn pages_into(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(definition(), folder)
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    use io::Write;
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::reader_left(),
        _ => Failure::network(format!("standard output cannot be written: {error}")),
    })
}
