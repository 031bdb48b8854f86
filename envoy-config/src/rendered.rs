//! A rendered configuration: files by name, to be written to a directory or compared with one.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// The files of a configuration directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    files: Vec<(&'static str, String)>,
}

/// Where a directory differs from what would be written to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The file's name in the directory.
    pub file: &'static str,
    /// The first line that differs, counted from 1; 0 when the file is not there.
    pub line: usize,
    /// That line as it would be written; `None` past the end.
    pub rendered: Option<String>,
    /// That line as it is; `None` past the end.
    pub found: Option<String>,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, rendered, found } = self;
        if *line == 0 {
            return write!(f, "{file}: not there");
        }
        let shown = |line: &Option<String>| line.clone().unwrap_or_else(|| "(the end)".to_owned());
        write!(
            f,
            "{file}:{line}: differs\n  rendered: {}\n  found:    {}",
            shown(rendered),
            shown(found)
        )
    }
}

impl Rendered {
    pub(crate) fn new(files: Vec<(&'static str, String)>) -> Self {
        Self { files }
    }

    /// Each file's name, without a directory, and its contents.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.files.iter().map(|(name, contents)| (*name, contents.as_str()))
    }

    /// The contents of one file.
    pub fn file(&self, name: &str) -> Option<&str> {
        self.files().find_map(|(known, contents)| (known == name).then_some(contents))
    }

    /// Writes the files to `directory`, which is made when it is not there. All of them are written
    /// beside their places first and then renamed to them: Envoy, which watches some of them, never
    /// reads half a file, and a full disk changes nothing. The error names the file.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                let what = format!("{}: a file, where a directory is needed", directory.display());
                io::Error::new(io::ErrorKind::NotADirectory, what)
            }
            _ => named(error, directory),
        })?;
        let staged = |name: &str| directory.join(format!(".{name}.new"));
        let written = self.files().try_for_each(|(name, contents)| {
            let place = staged(name);
            write_through(&place, contents).map_err(|error| named(error, &place))
        });
        let moved = written.and_then(|()| {
            self.files().try_for_each(|(name, _)| {
                let place = directory.join(name);
                fs::rename(staged(name), &place).map_err(|error| named(error, &place))
            })
        });
        if moved.is_err() {
            for (name, _) in self.files() {
                // What was renamed is not there, and there is nothing more to say than `moved` does.
                let _ = fs::remove_file(staged(name));
            }
        }
        moved
    }

    /// Compares with what is in `directory`: the first difference of each file that has one. Other
    /// files there do not matter.
    pub fn drift(&self, directory: &Path) -> io::Result<Vec<Drift>> {
        let mut drifts = Vec::new();
        for (file, rendered) in self.files() {
            let place = directory.join(file);
            match fs::read(&place) {
                Ok(found) => drifts.extend(difference(file, rendered, &found)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    drifts.push(Drift { file, line: 0, rendered: None, found: None });
                }
                Err(error) => return Err(named(error, &place)),
            }
        }
        Ok(drifts)
    }
}

fn write_through(place: &Path, contents: &str) -> io::Result<()> {
    let mut file = fs::File::create(place)?;
    file.write_all(contents.as_bytes())?;
    file.sync_all()
}

fn named(error: io::Error, place: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", place.display()))
}

fn difference(file: &'static str, rendered: &str, found: &[u8]) -> Option<Drift> {
    if rendered.as_bytes() == found {
        return None;
    }
    let found = String::from_utf8_lossy(found);
    // With the line ends, so that a missing last one is a difference too.
    let mut lines = (rendered.split_inclusive('\n'), found.split_inclusive('\n'));
    let mut line = 0;
    loop {
        line += 1;
        let (rendered, found) = (lines.0.next(), lines.1.next());
        if rendered != found || rendered.is_none() {
            let text = |line: Option<&str>| line.map(|line| line.trim_end_matches('\n').to_owned());
            return Some(Drift { file, line, rendered: text(rendered), found: text(found) });
        }
    }
}
