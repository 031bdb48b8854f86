//! A result file → `docs/benchmarks.md`: its tables between their markers, its pictures beside it, and
//! the file itself. Words between the tables are people's, and stay.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::results::Results;
use crate::{plots, table};

/// Writes all of it.
pub(crate) fn publish(file: &Path) -> Result<()> {
    let results = Results::read(file)?;
    let folder = docs().join("benchmarks");
    std::fs::create_dir_all(&folder).context("cannot make docs/benchmarks")?;
    results.write(&folder.join("results.json"))?;
    for (name, svg) in plots::all(&results)? {
        std::fs::write(folder.join(name), svg).with_context(|| format!("cannot write {name}"))?;
    }
    let page = docs().join("benchmarks.md");
    let text = std::fs::read_to_string(&page).context("cannot read docs/benchmarks.md")?;
    std::fs::write(&page, filled(&text, &results)?).context("cannot write docs/benchmarks.md")
}

/// The page with every table as the results have it.
fn filled(page: &str, results: &Results) -> Result<String> {
    let mut page = page.to_owned();
    for (name, table) in table::sections(results) {
        let begin = format!("<!-- results: {name} -->\n");
        let (before, rest) = page.split_once(&begin).with_context(|| format!("no {begin}"))?;
        let (_, after) = rest.split_once(END).with_context(|| format!("no {END} after {begin}"))?;
        page = format!("{before}{begin}{table}{END}{after}");
    }
    Ok(page)
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

const END: &str = "<!-- end -->";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_and_its_pictures_are_those_of_the_result_file() {
        let folder = docs().join("benchmarks");
        let results = Results::read(&folder.join("results.json")).unwrap();
        let page = std::fs::read_to_string(docs().join("benchmarks.md")).unwrap();
        assert!(filled(&page, &results).unwrap() == page, "publish docs/benchmarks/results.json");
        for (name, svg) in plots::all(&results).unwrap() {
            let kept = std::fs::read_to_string(folder.join(name)).unwrap();
            assert!(kept == svg, "{name} is another picture: publish docs/benchmarks/results.json");
            assert!(page.contains(&format!("benchmarks/{name}")), "the page does not show {name}");
        }
    }
}
