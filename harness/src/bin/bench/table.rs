//! A result file as Markdown tables, readable on a terminal too. One function for each section of
//! `docs/benchmarks.md`, by the name that stands in its markers.

use crate::goals;
use crate::results::{Cpu, Memory, Micro, NewMaps, Propagation, Real, RealOf, Results};
use crate::statistics::{Spread, at};

/// Every section with its name, where there is something to show.
pub(crate) fn sections(results: &Results) -> Vec<(&'static str, String)> {
    let mut sections = vec![("goals", goals::table(results)), ("about", about(results))];
    let mut add = |name, table: Option<String>| sections.extend(table.map(|table| (name, table)));
    add("cpu", results.cpu.as_ref().map(cpu));
    add("rerouted", results.real.as_ref().map(rerouted));
    add("even", results.real.as_ref().map(even));
    add("maps", results.maps.as_deref().map(maps));
    add("propagation", results.propagation.as_ref().map(propagation));
    add("memory", results.memory.as_ref().map(memory));
    add("watches", results.memory.as_ref().map(watches));
    add("polling", results.memory.as_ref().map(polling));
    add("core", results.core.as_deref().map(core));
    sections
}

/// All sections, one below the other.
pub(crate) fn all(results: &Results) -> String {
    let sections =
        sections(results).into_iter().map(|(name, table)| format!("\n{name}\n\n{table}"));
    sections.collect()
}

fn about(results: &Results) -> String {
    let about = &results.about;
    let module = results
        .module
        .as_ref()
        .map(|module| format!("module: {} bytes, {} exports", module.bytes, module.exports.len()));
    let [before, after] = about.load_average;
    let lines = [
        format!("command: `{}`, {} s", about.command, about.seconds),
        format!("commit: `{}`", about.commit),
        format!("machine: {} cores, {}, Linux {}", about.cores, about.processor, about.kernel),
        format!("load average before and after: {before:.2}, {after:.2}"),
        format!("parts: {}", about.parts.join(", ")),
    ];
    let lines = lines.into_iter().chain(module);
    lines.map(|line| format!("- {line}\n")).collect()
}

fn cpu(cpu: &Cpu) -> String {
    let find = |name: &str| {
        let found = cpu.variants.iter().find(|variant| variant.name == name);
        found.map_or(&[][..], |variant| &variant.microseconds)
    };
    let (plain, lua) = (find("plain"), find("lua"));
    let rows = cpu.variants.iter().map(|variant| {
        let own = &variant.microseconds;
        let adds = added(own, plain);
        let is_plain = variant.name == "plain";
        let none = || "–".to_owned();
        vec![
            variant.what.clone(),
            shown(Spread::of(own), 1),
            shown(Spread::of_ratios(own, plain), 2),
            if is_plain { none() } else { shown(Spread::of(&adds), 1) },
            shown(Spread::of_ratios(own, lua), 2),
            format!("{:.1}", variant.idle_ms),
        ]
    });
    let heads = ["", "µs a request", "× Envoy alone", "µs added", "× Lua", "at rest, ms a second"];
    markdown(&heads, rows.collect())
}

/// What each round has more than the same round of Envoy alone.
fn added(values: &[f64], plain: &[f64]) -> Vec<f64> {
    values.iter().zip(plain).map(|(value, plain)| value - plain).collect()
}

fn rerouted(real: &Real) -> String {
    compared(real, "direct", |name| !name.starts_with("even"))
}

fn even(real: &Real) -> String {
    compared(real, "even-plain", |name| name.starts_with("even"))
}

fn compared(real: &Real, base: &str, wanted: impl Fn(&str) -> bool) -> String {
    let per_second = |of: &RealOf| of.closed.iter().map(|one| one.per_second).collect::<Vec<_>>();
    let means = |of: &RealOf| of.closed.iter().map(|one| one.mean).collect::<Vec<_>>();
    let Some(base) = real.variants.iter().find(|variant| variant.name == base) else {
        return String::new();
    };
    let rows = real.variants.iter().filter(|variant| wanted(&variant.name)).map(|variant| {
        let open = &variant.open;
        vec![
            variant.what.clone(),
            shown(Spread::of(&per_second(variant)), 0),
            shown(Spread::of_ratios(&per_second(variant), &per_second(base)), 2),
            shown(Spread::of_ratios(&means(variant), &means(base)), 2),
            open.requests.to_string(),
            format!("{:.2}", open.p50),
            format!("{:.2}", open.p90),
            format!("{:.2}", open.p99),
            format!("{:.2}", open.p999),
            format!("{:.2}", open.max),
        ]
    });
    let heads = [
        "",
        "answers/s",
        "× the first",
        "mean latency, × the first",
        "requests",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
    ];
    markdown(&heads, rows.collect())
}

fn maps(maps: &[NewMaps]) -> String {
    let row = |one: &NewMaps| {
        vec![
            format!("{} × {} CRDs", one.servers, one.crds),
            one.apis.to_string(),
            format!("{:.2}", one.worker_ms),
            format!("{:.1}", one.fetcher_ms),
        ]
    };
    let heads = [
        "servers × CRDs",
        "APIs",
        "ms a worker that takes it",
        "ms the thread whose fetcher makes it",
    ];
    markdown(&heads, maps.iter().map(row).collect())
}

fn propagation(of: &Propagation) -> String {
    let mut sorted = of.milliseconds.clone();
    sorted.sort_by(f64::total_cmp);
    let share = |share| at(&sorted, share).map_or_else(String::new, |ms| format!("{ms:.0}"));
    let row = vec![
        sorted.len().to_string(),
        share(0.0),
        share(0.5),
        share(0.9),
        share(0.99),
        share(1.0),
        of.poll_interval_ms.to_string(),
    ];
    markdown(&["tries", "least ms", "p50", "p90", "p99", "most", "poll interval"], vec![row])
}

fn memory(memory: &Memory) -> String {
    let rows = memory.at_rest.iter().map(|one| {
        let largest = one.vms_kb.first().copied().unwrap_or(0);
        let all: u64 = one.vms_kb.iter().sum();
        vec![
            one.what.clone(),
            one.crds.to_string(),
            one.workers.to_string(),
            mib(one.resident_kb),
            one.vms_kb.len().to_string(),
            mib(all),
            mib(all / u64::from(one.workers).max(1)),
            mib(largest),
        ]
    });
    let heads = [
        "",
        "CRDs",
        "workers",
        "resident MiB",
        "VMs",
        "MiB in VMs",
        "of that for each worker",
        "largest VM",
    ];
    markdown(&heads, rows.collect())
}

fn watches(memory: &Memory) -> String {
    let rows = memory.watching.iter().map(|one| {
        let more = one.with_kb.saturating_sub(one.before_kb);
        let each = more as f64 / one.watches.max(1) as f64;
        vec![
            one.what.clone(),
            one.watches.to_string(),
            mib(one.before_kb),
            mib(one.with_kb),
            format!("{each:.1}"),
            format!("{:.1}", one.idle_cpu_ms),
        ]
    });
    let heads =
        ["", "watches", "MiB before", "MiB with them", "kB a watch", "CPU ms a second, idle"];
    markdown(&heads, rows.collect())
}

fn polling(memory: &Memory) -> String {
    let samples = &memory.polling.samples;
    let middle = samples.len() / 2;
    let rows = [Some(0), Some(middle), samples.len().checked_sub(1)].into_iter().flatten();
    let rows = rows.filter_map(|at| samples.get(at));
    let rows = rows.map(|(polls, kb)| vec![polls.to_string(), mib(*kb)]);
    markdown(&["polls", "resident MiB"], rows.collect())
}

fn core(micro: &[Micro]) -> String {
    let row = |one: &Micro| {
        let allocations = one.allocations.map_or_else(String::new, |count| count.to_string());
        let median = Spread::of(&one.nanoseconds).map_or_else(String::new, |of| time(of.median));
        vec![format!("`{}`", one.name), median, allocations]
    };
    markdown(&["operation", "time", "allocations"], micro.iter().map(row).collect())
}

fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        small if small < 1e3 => format!("{small:.0} ns"),
        middle if middle < 1e6 => format!("{:.1} µs", middle / 1e3),
        large => format!("{:.1} ms", large / 1e6),
    }
}

fn mib(kb: u64) -> String {
    format!("{:.1}", kb as f64 / 1024.0)
}

fn shown(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or_else(|| "–".to_owned(), |spread| format!("{spread:.digits$}"))
}

/// A Markdown table whose columns are aligned in its source, too.
pub(crate) fn markdown(heads: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut lines = vec![heads.iter().map(|head| (*head).to_owned()).collect::<Vec<_>>()];
    lines.extend(rows);
    let widths: Vec<usize> = (0..heads.len())
        .map(|at| lines.iter().filter_map(|line| line.get(at)).map(|c| c.chars().count()).max())
        .map(|width| width.unwrap_or(0).max(3))
        .collect();
    let mut table = String::new();
    for (number, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(&widths).map(|(cell, width)| {
            let blanks = " ".repeat(width.saturating_sub(cell.chars().count()));
            format!("| {cell}{blanks} ")
        });
        table += &format!("{}|\n", cells.collect::<String>());
        if number == 0 {
            let rules = widths.iter().map(|width| format!("|{}", "-".repeat(width + 2)));
            table += &format!("{}|\n", rules.collect::<String>());
        }
    }
    table
}
