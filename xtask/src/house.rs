//! What is checked: the text files that git knows, or would know after `git add`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Command;

/// Text files by path from the root, with `/` between folders.
#[derive(Debug, Default)]
pub(crate) struct House {
    files: BTreeMap<String, String>,
}

impl House {
    pub(crate) fn of_this_repository() -> io::Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest
            .parent()
            .ok_or_else(|| io::Error::other("xtask has no parent"))?;
        let listing = Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(root)
            .output()?;
        if !listing.status.success() {
            let message = String::from_utf8_lossy(&listing.stderr).trim().to_owned();
            return Err(io::Error::other(format!("git ls-files: {message}")));
        }
        let mut house = Self::default();
        for path in String::from_utf8_lossy(&listing.stdout).split_terminator('\0') {
            match std::fs::read(root.join(path)) {
                // What is not UTF-8 is data, not text.
                Ok(bytes) => house
                    .files
                    .extend(String::from_utf8(bytes).map(|s| (path.into(), s))),
                // Deleted, but not yet in a commit.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io::Error::other(format!("{path}: {error}"))),
            }
        }
        Ok(house)
    }

    #[cfg(test)]
    pub(crate) fn of<const N: usize>(files: [(&str, &str); N]) -> Self {
        let owned = |(path, text): (&str, &str)| (path.to_owned(), text.to_owned());
        Self {
            files: files.map(owned).into(),
        }
    }

    /// All files, in the order of their paths.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The Rust files.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| path.ends_with(".rs"))
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }
}
